"""The pool of earlier translations that CycleGAN's discriminators are shown."""

import torch


class ImagePool:
    """Up to `size` earlier images. Half of those asked for come back from it, with the new ones left in their place.

    Parameters
    ----------
    size : int
        0 keeps nothing: every query returns its images.

    Notes
    -----
    Nothing on the device is read back, so a query never waits. Within one batch no two images are offered the same
    place, where the released code draws places independently; at batch size 1, the paper's, that is the same.

    References
    ----------
    Shrivastava et al. (2017), Learning from Simulated and Unsupervised Images through Adversarial Training,
    section 2.3; Zhu et al. (2017), section 4.
    """

    def __init__(self, size):
        self.size = size
        self.images = None

    def query(self, images, generator):
        """Exchange `images` (n, C, H, W), detached, with the pool; random numbers from `generator`."""
        if self.size == 0:
            return images
        if self.images is None:
            self.images = images[:0]
        room = self.size - len(self.images)
        self.images = torch.cat([self.images, images[:room]])
        new, rest = images[:room], images[room:]
        if not len(rest):
            return new
        places = torch.randperm(self.size, generator=generator, device=images.device)[: len(rest)]
        exchange = torch.rand(len(rest), generator=generator, device=images.device) < 0.5
        exchange = exchange[:, None, None, None]
        stored = self.images[places]
        self.images = self.images.index_copy(0, places, torch.where(exchange, rest, stored))
        return torch.cat([new, torch.where(exchange, stored, rest)])
