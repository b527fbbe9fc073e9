"""Convolutions whose weights' gradient is one matrix product, where that is faster than the library's own."""

import functools

import torch
from torch import nn
from torch.nn import functional

# Both channel counts, of a single image and of several: fewer make the product too narrow.
LEAST_OF_ONE, LEAST_OF_SEVERAL = 64, 128


@functools.cache
def products_pay():
    """Whether this CPU's float32 weight gradients are faster as products: those of AVX2 are, where it was measured."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


class Conv2d(nn.Conv2d):
    """As in torch, of square kernels, one group and no dilation."""

    def forward(self, x):
        if _by_product(self, x):
            return _Convolution.apply(x, self.weight, self.bias, self.stride, self.padding, None)
        return super().forward(x)


class ConvTranspose2d(nn.ConvTranspose2d):
    """As in torch, of square kernels, one group and no dilation."""

    def forward(self, x):
        if _by_product(self, x):
            return _Convolution.apply(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)
        return super().forward(x)


def weight_gradient(x, slope, kernel, stride, padding):
    """Gradient of a convolution's weights, of `x` (n, c, h, w) and the output's `slope` (n, d, h', w'): (d, c, k, k).

    The k·k·c numbers that each output saw make a row; the transposed slopes times these rows are the gradient. Both
    tensors are best in channels-last order, in which each row of the kernel is copied whole.
    """
    (n, d, height, width), c = slope.shape, x.shape[1]
    x = functional.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()
    of_image, of_row, of_pixel, of_channel = x.stride()
    seen = x.as_strided(
        (n, height, width, kernel, kernel, c),
        (of_image, stride * of_row, stride * of_pixel, of_row, of_pixel, of_channel),
    ).reshape(n * height * width, kernel * kernel * c)
    slopes = slope.permute(0, 2, 3, 1).reshape(-1, d)
    return (slopes.t() @ seen).view(d, kernel, kernel, c).permute(0, 3, 1, 2)


def _by_product(layer, x):
    least = min(layer.in_channels, layer.out_channels)
    return (
        least >= (LEAST_OF_ONE if x.shape[0] == 1 else LEAST_OF_SEVERAL)
        and layer.weight.requires_grad
        and torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == layer.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and layer.weight.is_contiguous(memory_format=torch.channels_last)
        and products_pay()
    )


class _Convolution(torch.autograd.Function):
    """A convolution, or with `extra`, its output_padding, a transposed one. Its gradient can be derived again."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding, extra):
        ctx.save_for_backward(x, weight)
        ctx.form = (stride, padding, (1, 1), extra is not None, extra or (0, 0), 1)
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        return torch.convolution(x, weight, bias, *ctx.form)

    @staticmethod
    def backward(ctx, slope):
        x, weight = ctx.saved_tensors
        (stride, _), (padding, _), _, transposed, *_ = ctx.form
        wanted = [ctx.needs_input_grad[0], False, ctx.needs_input_grad[2]]
        of_x, _, of_bias = torch.ops.aten.convolution_backward(slope, x, weight, ctx.bias_sizes, *ctx.form, wanted)
        of_weight = None
        if ctx.needs_input_grad[1]:
            # A transposed convolution goes the other way: what it gives is what its transpose sees.
            seen, slopes = (slope, x) if transposed else (x, slope)
            of_weight = weight_gradient(seen, slopes, weight.shape[-1], stride, padding)
        return of_x, of_weight, of_bias, None, None, None
