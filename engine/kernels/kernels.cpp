// ATen's fused kernels that burn-tch composes of smaller ones, or that tch does not bind: what
// engine/src/nn/kernels/torch/ffi.rs declares.
//
// Tensors come in as `const at::Tensor*`, and go out as new `at::Tensor*` that the caller owns. Nothing here writes to an
// input but the calls that say so.
#include "guarded.h"

#include <ATen/ATen.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <vector>

namespace {

using at::Tensor;
using engine::guarded;

// The kernels have no gradient of torch's: burn's autodiff holds the graph.
template <typename Body>
bool run(EngineError error, Body&& body) noexcept {
  return guarded(error, [&] {
    c10::AutoGradMode no_grad(false);
    body();
  });
}

const Tensor& read(const void* tensor) { return *static_cast<const Tensor*>(tensor); }

Tensor& write(void* tensor) { return *static_cast<Tensor*>(tensor); }

void give(void** out, Tensor tensor) { *out = tensor.defined() ? new Tensor(std::move(tensor)) : nullptr; }

constexpr auto CHANNELS_LAST = at::MemoryFormat::ChannelsLast;

// The values in the layout of the weight, and the weight in the type of the values: what a convolution wants.
Tensor laid_out_for(const Tensor& values, const Tensor& weight) {
  const bool channels_last = weight.is_contiguous(CHANNELS_LAST) && !weight.is_contiguous();
  return channels_last ? values.contiguous(CHANNELS_LAST) : values;
}

Tensor typed_for(const Tensor& weight, const Tensor& values) { return weight.to(values.scalar_type()); }

// The values in the strides of another tensor of the same shape and type.
Tensor strided_as(const Tensor& values, const Tensor& like) {
  if (values.strides() == like.strides() && values.scalar_type() == like.scalar_type()) return values;
  return at::empty_like(like).copy_(values);
}

} // namespace

struct EngineConvolution {
  int64_t stride[2];
  int64_t padding[2];
  int64_t dilation[2];
  int64_t groups;
};

extern "C" {

bool engine_conv2d(const void* x, const void* weight, EngineConvolution of, void** y, EngineError error) {
  return run(error, [&] {
    const Tensor values = laid_out_for(read(x), read(weight));
    give(y, at::conv2d(values, typed_for(read(weight), values), {}, of.stride, of.padding, of.dilation, of.groups));
  });
}

// Leaves null where a gradient is not wanted.
bool engine_conv2d_backward(const void* grad, const void* x, const void* weight, EngineConvolution of, bool wants_x,
                            bool wants_weight, void** grad_x, void** grad_weight, EngineError error) {
  return run(error, [&] {
    const Tensor values = laid_out_for(read(x), read(weight));
    auto [of_x, of_weight, of_bias] = at::convolution_backward(
        read(grad), values, typed_for(read(weight), values), std::nullopt, of.stride, of.padding, of.dilation, false,
        {0, 0}, of.groups, {wants_x, wants_weight, false});
    if (wants_weight) of_weight = of_weight.to(read(weight).scalar_type());
    give(grad_x, of_x);
    give(grad_weight, of_weight);
  });
}

// Normalises by the batch, and gives the running statistics as they are after it.
bool engine_batch_norm_train(const void* x, const void* weight, const void* bias, const void* running_mean,
                             const void* running_var, double momentum, double epsilon, void** out,
                             EngineError error) {
  return run(error, [&] {
    const Tensor& values = read(x);
    Tensor mean = read(running_mean).clone();
    Tensor variance = read(running_var).clone();
    // One value a channel has no spread; torch's own update would be 0 / 0.
    const bool has_spread = values.numel() > values.size(1);
    Tensor unread = has_spread ? Tensor() : variance.clone();
    auto [y, batch_mean, batch_deviation] = at::native_batch_norm(
        values, read(weight), read(bias), mean, has_spread ? variance : unread, true, momentum, epsilon);
    if (!has_spread) variance.mul_(1.0 - momentum);
    give(out, y);
    give(out + 1, batch_mean);
    give(out + 2, batch_deviation);
    give(out + 3, mean);
    give(out + 4, variance);
  });
}

bool engine_batch_norm_backward(const void* grad, const void* x, const void* weight, const void* batch_mean,
                                const void* batch_deviation, double epsilon, bool wants_x, bool wants_weight,
                                bool wants_bias, void** out, EngineError error) {
  return run(error, [&] {
    auto [of_x, of_weight, of_bias] = at::native_batch_norm_backward(
        read(grad), read(x), read(weight), std::nullopt, std::nullopt, read(batch_mean), read(batch_deviation), true,
        epsilon, {wants_x, wants_weight, wants_bias});
    give(out, of_x);
    give(out + 1, of_weight);
    give(out + 2, of_bias);
  });
}

bool engine_batch_norm_eval(const void* x, const void* weight, const void* bias, const void* mean,
                            const void* variance, double epsilon, void** y, EngineError error) {
  return run(error, [&] {
    auto normalised = at::native_batch_norm(read(x), read(weight), read(bias), read(mean), read(variance), false, 0.0,
                                            epsilon);
    give(y, std::get<0>(normalised));
  });
}

// Into `grad` itself where `in_place`: then `grad_x` is left null.
bool engine_relu_backward(void* grad, const void* y, bool in_place, void** grad_x, EngineError error) {
  return run(error, [&] {
    if (in_place) {
      at::threshold_backward_out(write(grad), write(grad), read(y), 0);
      *grad_x = nullptr;
    } else {
      give(grad_x, at::threshold_backward(write(grad), read(y), 0));
    }
  });
}

bool engine_channels_last(const void* x, void** y, EngineError error) {
  return run(error, [&] { give(y, at::empty_like(read(x), {}, CHANNELS_LAST).copy_(read(x))); });
}

bool engine_is_channels_last(const void* x) { return read(x).is_contiguous(CHANNELS_LAST); }

// One step of torch's fused AdamW, into `parameter`, `mean` and `square` themselves. `step` counts from 1.
bool engine_adamw(void* parameter, const void* gradient, void* mean, void* square, double step, double learning_rate,
                  double beta1, double beta2, double weight_decay, double epsilon, EngineError error) {
  return run(error, [&] {
    Tensor& values = write(parameter);
    // The kernel walks over raw memory: all four have to lie alike.
    const Tensor along = strided_as(read(gradient), values);
    Tensor first = strided_as(read(mean), values);
    Tensor second = strided_as(read(square), values);
    const Tensor count = at::full({}, step, values.options().dtype(at::kFloat));
    const std::vector<Tensor> parameters{values}, gradients{along}, means{first}, squares{second}, steps{count};
    at::_fused_adamw_(parameters, gradients, means, squares, {}, steps, learning_rate, beta1, beta2, weight_decay,
                      epsilon, false, false, std::nullopt, std::nullopt);
    write(mean) = first;
    write(square) = second;
  });
}

} // extern "C"
