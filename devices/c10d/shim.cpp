#include "shim.h"

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef ENGINE_NCCL
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <chrono>
#include <optional>
#include <vector>

struct EngineStore {
  c10::intrusive_ptr<c10d::Store> store;
};

struct EngineGroup {
  c10::intrusive_ptr<c10d::Backend> backend;
  // The CUDA device NCCL is bound to.
  std::optional<int> device;
};

struct EngineWork {
  c10::intrusive_ptr<c10d::Work> work;
};

namespace {

using engine::guarded;

c10::intrusive_ptr<c10d::Store> part(const EngineStore* store, const char* name, std::chrono::milliseconds timeout) {
  auto part = c10::make_intrusive<c10d::PrefixStore>(name, store->store);
  part->setTimeout(timeout);
  return part;
}

} // namespace

extern "C" {

bool engine_c10d_store(const char* host, uint16_t port, int listener, bool serves, int world, int64_t timeout_ms,
                       EngineStore** store, EngineError error) {
  return guarded(error, [&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.numWorkers = static_cast<size_t>(world);
    options.waitWorkers = true;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    if (serves && listener >= 0) options.masterListenFd = listener;
    *store = new EngineStore{c10::make_intrusive<c10d::TCPStore>(host, options)};
  });
}

void engine_c10d_store_free(EngineStore* store) {
  EngineError unheard{nullptr, 0};
  guarded(unheard, [&] { delete store; });
}

bool engine_c10d_gloo(const EngineStore* store, const char* name, int rank, int world, int64_t timeout_ms,
                      const char* address, const char* interface, EngineGroup** group, EngineError error) {
  return guarded(error, [&] {
    const std::chrono::milliseconds timeout(timeout_ms);
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(interface != nullptr
                                   ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                   : c10d::ProcessGroupGloo::createDeviceForHostname(address));
    auto backend =
        c10::make_intrusive<c10d::ProcessGroupGloo>(part(store, name, timeout), rank, world, options);
    *group = new EngineGroup{std::move(backend), std::nullopt};
  });
}

#ifdef ENGINE_NCCL
bool engine_c10d_nccl(const EngineStore* store, const char* name, int rank, int world, int64_t timeout_ms,
                      int device, EngineGroup** group, EngineError error) {
  return guarded(error, [&] {
    const std::chrono::milliseconds timeout(timeout_ms);
    const c10::cuda::CUDAGuard on(static_cast<c10::DeviceIndex>(device));
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    auto backend =
        c10::make_intrusive<c10d::ProcessGroupNCCL>(part(store, name, timeout), rank, world, options);
    backend->setBoundDeviceId(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device)));
    *group = new EngineGroup{std::move(backend), device};
  });
}
#endif

void engine_c10d_group_free(EngineGroup* group) {
  EngineError unheard{nullptr, 0};
  guarded(unheard, [&] { delete group; });
}

bool engine_c10d_all_reduce(EngineGroup* group, void* tensor, int op, EngineWork** work, EngineError error) {
  return guarded(error, [&] {
    std::vector<at::Tensor> tensors{*static_cast<at::Tensor*>(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = op == 1 ? c10d::ReduceOp::MAX : op == 2 ? c10d::ReduceOp::MIN : c10d::ReduceOp::SUM;
    *work = new EngineWork{group->backend->allreduce(tensors, options)};
  });
}

bool engine_c10d_broadcast(EngineGroup* group, void* tensor, int root, EngineWork** work, EngineError error) {
  return guarded(error, [&] {
    std::vector<at::Tensor> tensors{*static_cast<at::Tensor*>(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    *work = new EngineWork{group->backend->broadcast(tensors, options)};
  });
}

bool engine_c10d_barrier(EngineGroup* group, EngineError error) {
  return guarded(error, [&] {
    c10d::BarrierOptions options;
    if (group->device) options.device_ids = {*group->device};
    group->backend->barrier(options)->wait();
  });
}

bool engine_c10d_wait(EngineWork* work, EngineError error) {
  return guarded(error, [&] { work->work->wait(); });
}

void engine_c10d_work_free(EngineWork* work) {
  EngineError unheard{nullptr, 0};
  guarded(unheard, [&] { delete work; });
}

} // extern "C"
