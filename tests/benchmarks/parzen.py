"""Table 1's Parzen window beside scikit-learn's KernelDensity on the same work.

The log-likelihood of test images of MNIST under a window on 10,000 training images: ours of 10,000, KernelDensity of
500, which it takes one by one. It is exact only with all samples in one leaf; with the leaves it has by default it is
off by hundreds of nats here (https://github.com/scikit-learn/scikit-learn/issues/27186).
"""

from _sides import Side, Workload

SAMPLES, TEST, THEIR_TEST, SIGMA = 10_000, 10_000, 500, 0.2


def images():
    from coursekit.data import load_images, to_float

    return to_float(load_images("mnist").images[:SAMPLES]), to_float(load_images("mnist", "test").images[:TEST])


class KernelDensity:
    """It has one thread. With `leaf_size` as many as the samples it compares all pairs."""

    def __init__(self, folder, leaf_size=SAMPLES):
        self.samples, self.test = (part.flatten(1).double().numpy() for part in images())
        self.leaf_size = leaf_size

    def epoch(self):
        from sklearn.neighbors import KernelDensity

        window = KernelDensity(bandwidth=SIGMA, leaf_size=self.leaf_size).fit(self.samples)
        return len(window.score_samples(self.test[:THEIR_TEST]))


class Coursekit:
    def __init__(self, folder, threads=None):
        import torch

        torch.set_num_threads(threads or torch.get_num_threads())
        self.samples, self.test = images()

    def epoch(self):
        from coursekit.metrics import parzen_log_likelihood

        return len(parzen_log_likelihood(self.samples, self.test, SIGMA))


def workloads(on):
    sides = {
        "plain": Side(KernelDensity, counted=False, instead="coursekit"),
        "coursekit": Side(Coursekit),
        "one_thread": Side(Coursekit, {"threads": 1}),
        "tree": Side(KernelDensity, {"leaf_size": 40}, counted=False, instead="coursekit"),
    }
    return {"parzen": Workload(sides, {"coursekit": 10}, {"compile": "nothing to compile", "bf16": "not offered"})}
