"""Classifiers: an encoder whose outputs are class logits; what its last layer reads are features."""

from coursekit.networks.layers import ConvEncoder, MLPEncoder, _unknown_architecture

__all__ = ["ConvClassifier", "MLPClassifier", "build_classifier"]


class MLPClassifier(MLPEncoder):
    """Fully connected classifier, (N, C, H, W) -> logits (N, n_classes).

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    n_classes : int
    hidden : sequence of int
        Hidden sizes; ``()`` makes it logistic regression.
    """

    def __init__(self, image_shape, n_classes, hidden):
        super().__init__(image_shape, hidden, n_classes)

    def features(self, x):
        """What the last layer reads: (N, last hidden size), or the flat image where there is no hidden layer."""
        return self.net[:-1](x.flatten(1))


class ConvClassifier(ConvEncoder):
    """Convolutional classifier, (N, C, H, W) -> logits (N, n_classes).

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W); H and W divide by ``2 ** len(channels)``.
    n_classes : int
    channels : sequence of int
    """

    def __init__(self, image_shape, n_classes, channels):
        super().__init__(image_shape, channels, n_classes)

    def features(self, x):
        """What the last layer reads: the last maps, flat."""
        return self.net[:-1](x)


def build_classifier(image_shape, n_classes, *, architecture="mlp", hidden=(256,), channels=(16, 32)):
    """A classifier of the named architecture.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    n_classes : int
    architecture : {"mlp", "conv"}
    hidden : sequence of int
        Hidden sizes of the MLP.
    channels : sequence of int
        Channels of the convolutions; both sides of the image divide by ``2 ** len(channels)``.

    Returns
    -------
    MLPClassifier or ConvClassifier

    Raises
    ------
    ValueError
        A size, shape or name that does not fit.
    """
    if architecture == "mlp":
        return MLPClassifier(image_shape, n_classes, hidden)
    if architecture == "conv":
        return ConvClassifier(image_shape, n_classes, channels)
    raise _unknown_architecture(architecture)
