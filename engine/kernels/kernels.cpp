// ATen's fused kernels that burn-tch composes of smaller ones, or that tch does not bind: what
// engine/src/nn/kernels/torch/ffi.rs declares.
//
// Tensors come in as `const at::Tensor*`, and go out as new `at::Tensor*` that the caller owns. Nothing here writes to an
// input but the calls that say so.
#include "guarded.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/GradMode.h>

#include <cstring>
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

// The values in the order of their memory, as one row: the kernels that go by memory need no copy of it.
Tensor in_memory_order(const Tensor& values) {
  return values.is_non_overlapping_and_dense() ? values.as_strided({values.numel()}, {1}) : values;
}

// Whether the values lie as the loops below walk over them: 32 bits, channels innermost, on the processor.
bool walkable(const Tensor& values) {
  return values.device().is_cpu() && values.scalar_type() == at::kFloat && values.is_contiguous(CHANNELS_LAST);
}

// Rows that a thread takes at least: fewer are not worth waking one.
constexpr int64_t ROWS = 16;

// Twice the size of `x`, each pixel four times, with `skip` behind it: one pass over what `upsample` and `cat` would write twice.
Tensor doubled_and_joined(const Tensor& x, const Tensor& skip) {
  const int64_t inner = x.size(1), outer = skip.size(1), height = skip.size(2), width = skip.size(3);
  Tensor joined = at::empty({skip.size(0), inner + outer, height, width}, skip.options(), CHANNELS_LAST);
  const float* below = x.const_data_ptr<float>();
  const float* beside = skip.const_data_ptr<float>();
  float* to = joined.mutable_data_ptr<float>();
  at::parallel_for(0, skip.size(0) * height, ROWS, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = below + (row / height * (height / 2) + row % height / 2) * (width / 2) * inner;
      const float* with = beside + row * width * outer;
      float* into = to + row * width * (inner + outer);
      for (int64_t column = 0; column < width; ++column, into += inner + outer) {
        std::memcpy(into, from + column / 2 * inner, inner * sizeof(float));
        std::memcpy(into + inner, with + column * outer, outer * sizeof(float));
      }
    }
  });
  return joined;
}

// The gradients of both inputs of `doubled_and_joined`.
std::pair<Tensor, Tensor> parted_and_halved(const Tensor& grad, int64_t inner) {
  const int64_t all = grad.size(1), outer = all - inner, height = grad.size(2) / 2, width = grad.size(3) / 2;
  Tensor of_x = at::empty({grad.size(0), inner, height, width}, grad.options(), CHANNELS_LAST);
  Tensor of_skip = at::empty({grad.size(0), outer, grad.size(2), grad.size(3)}, grad.options(), CHANNELS_LAST);
  const float* from = grad.const_data_ptr<float>();
  float* below = of_x.mutable_data_ptr<float>();
  float* beside = of_skip.mutable_data_ptr<float>();
  at::parallel_for(0, grad.size(0) * height, ROWS / 2, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t column = 0; column < width; ++column) {
        const int64_t pixel = (2 * row * width + column) * 2, next_row = 2 * width;
        const float* corners[] = {from + pixel * all, from + (pixel + 1) * all, from + (pixel + next_row) * all,
                                  from + (pixel + next_row + 1) * all};
        float* sum = below + (row * width + column) * inner;
        for (int64_t at = 0; at < inner; ++at)
          sum[at] = (corners[0][at] + corners[1][at]) + (corners[2][at] + corners[3][at]);
        std::memcpy(beside + pixel * outer, corners[0] + inner, outer * sizeof(float));
        std::memcpy(beside + (pixel + 1) * outer, corners[1] + inner, outer * sizeof(float));
        std::memcpy(beside + (pixel + next_row) * outer, corners[2] + inner, outer * sizeof(float));
        std::memcpy(beside + (pixel + next_row + 1) * outer, corners[3] + inner, outer * sizeof(float));
      }
    }
  });
  return {of_x, of_skip};
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

// `x` in the size of `skip`, by nearest pixels, with `skip` behind it along the channels.
bool engine_upsample_join(const void* x, const void* skip, void** joined, EngineError error) {
  return run(error, [&] {
    const Tensor &below = read(x), &beside = read(skip);
    const bool doubles = beside.size(2) == 2 * below.size(2) && beside.size(3) == 2 * below.size(3);
    if (doubles && walkable(below) && walkable(beside)) {
      give(joined, doubled_and_joined(below, beside));
    } else {
      const int64_t size[] = {beside.size(2), beside.size(3)};
      give(joined, at::cat({at::upsample_nearest2d(below, size), beside}, 1));
    }
  });
}

bool engine_upsample_join_backward(const void* grad, int64_t inner, int64_t height, int64_t width, void** of_x,
                                   void** of_skip, EngineError error) {
  return run(error, [&] {
    const Tensor& values = read(grad);
    if (values.size(2) == 2 * height && values.size(3) == 2 * width && walkable(values)) {
      auto [below, beside] = parted_and_halved(values, inner);
      give(of_x, below);
      give(of_skip, beside);
    } else {
      const int64_t from[] = {values.size(2), values.size(3)}, to[] = {values.size(0), inner, height, width};
      give(of_x, at::upsample_nearest2d_backward(values.narrow(1, 0, inner).contiguous(), from, to));
      // A copy: whoever has it must have it to himself.
      give(of_skip, values.narrow(1, inner, values.size(1) - inner).clone());
    }
  });
}

// Leaves null where a gradient is not wanted.
bool engine_layer_norm_backward(const void* grad, const void* x, const void* weight, const void* bias,
                                const void* mean, const void* deviation, bool wants_x, bool wants_weight,
                                bool wants_bias, void** out, EngineError error) {
  return run(error, [&] {
    auto [of_x, of_weight, of_bias] =
        at::native_layer_norm_backward(read(grad), read(x), read(weight).sizes(), read(mean), read(deviation),
                                       read(weight), read(bias), {wants_x, wants_weight, wants_bias});
    give(out, of_x);
    give(out + 1, of_weight);
    give(out + 2, of_bias);
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
    // The kernel walks over raw memory: all four have to lie alike. It would copy a gradient that is not contiguous.
    const Tensor along = strided_as(read(gradient), values);
    Tensor first = strided_as(read(mean), values);
    Tensor second = strided_as(read(square), values);
    const Tensor count = at::full({}, step, values.options().dtype(at::kFloat));
    const std::vector<Tensor> parameters{in_memory_order(values)}, gradients{in_memory_order(along)};
    const std::vector<Tensor> means{in_memory_order(first)}, squares{in_memory_order(second)}, steps{count};
    at::_fused_adamw_(parameters, gradients, means, squares, {}, steps, learning_rate, beta1, beta2, weight_decay,
                      epsilon, false, false, std::nullopt, std::nullopt);
    write(mean) = first;
    write(square) = second;
  });
}

} // extern "C"
