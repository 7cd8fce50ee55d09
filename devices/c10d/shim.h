// The part of libtorch's c10d that the engine uses, as C: what devices/src/c10d/ffi.rs declares.
#pragma once

#include "guarded.h"

#include <cstdint>

extern "C" {

struct EngineStore;
struct EngineGroup;
struct EngineWork;

// Connects to the store of rank 0, which serves it: on `port`, or on the descriptor `listener` where it is not
// negative. Waits for all of `world`.
bool engine_c10d_store(const char* host, uint16_t port, int listener, bool serves, int world, int64_t timeout_ms,
                       EngineStore** store, EngineError error);
void engine_c10d_store_free(EngineStore* store);

// A group over TCP whose sockets are bound to `address`, or to the interface of this name.
bool engine_c10d_gloo(const EngineStore* store, const char* name, int rank, int world, int64_t timeout_ms,
                      const char* address, const char* interface, EngineGroup** group, EngineError error);
#ifdef ENGINE_NCCL
// A group over NCCL for the tensors of one CUDA device.
bool engine_c10d_nccl(const EngineStore* store, const char* name, int rank, int world, int64_t timeout_ms,
                      int device, EngineGroup** group, EngineError error);
#endif
void engine_c10d_group_free(EngineGroup* group);

// `tensor` is an `at::Tensor*`. The work holds a reference to it, and writes to it until it has been waited for.
bool engine_c10d_all_reduce(EngineGroup* group, void* tensor, int op, EngineWork** work, EngineError error);
bool engine_c10d_broadcast(EngineGroup* group, void* tensor, int root, EngineWork** work, EngineError error);
bool engine_c10d_barrier(EngineGroup* group, EngineError error);

bool engine_c10d_wait(EngineWork* work, EngineError error);
void engine_c10d_work_free(EngineWork* work);

} // extern "C"
