// What every call into libtorch's C++ interface shares: how a failure is told.
//
// A call answers whether it succeeded. If not, it leaves the text of the exception in `error`, cut to its size and closed
// by a zero, and makes nothing. No exception leaves a call. devices/src/shim.rs is the other side.
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>

extern "C" {

struct EngineError {
  char* text;
  size_t size;
};

} // extern "C"

namespace engine {

inline void tell(EngineError error, const char* text) noexcept {
  if (error.size == 0) return;
  const size_t length = std::min(std::strlen(text), error.size - 1);
  std::memcpy(error.text, text, length);
  error.text[length] = '\0';
}

// Runs `body`; an exception becomes its text.
template <typename Body>
bool guarded(EngineError error, Body&& body) noexcept {
  try {
    body();
    return true;
  } catch (const c10::Error& exception) {
    tell(error, exception.what_without_backtrace());
  } catch (const std::exception& exception) {
    tell(error, exception.what());
  } catch (...) {
    tell(error, "an exception without a text");
  }
  return false;
}

} // namespace engine
