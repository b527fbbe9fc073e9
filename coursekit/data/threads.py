"""Work on many files at once: Pillow lets other threads run while it decodes."""

import os
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from coursekit.data.pictures import quiet_pillow

THREADS = min(8, os.cpu_count() or 1)


def in_threads(function, items, description):
    """Results in the order of `items`. Work of seconds shows a progress bar; an error cancels what has not begun."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        with quiet_pillow():
            return list(tqdm(pool.map(function, items), description, len(items), delay=0.5, leave=False))
    finally:
        pool.shutdown(cancel_futures=True)
