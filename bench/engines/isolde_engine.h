// Isolde as an embedder uses it: through the public headers only.
#pragma once

#include <isolde/isolde.h>

#include <memory>
#include <utility>

#include "bench/engines/engine.h"

namespace isolde::bench {

// An engine with what only Isolde can be asked: its observers and statistics.
class IsoldeEngine : public Engine {
 public:
  virtual Database& database() = 0;
  // Where load() puts the entries.
  virtual const Keyspace& keyspace() const = 0;
};

// Opens what is in the directory, or a new database.
std::unique_ptr<IsoldeEngine> open_isolde(const EngineOptions& options);

// The value, or the error as CannotRun.
[[noreturn]] void refuse(const Error& error);
template <typename T>
T must(Result<T> result) {
  if (!result) refuse(result.error());
  return std::move(*result);
}
inline void must(const Result<void>& result) {
  if (!result) refuse(result.error());
}

}  // namespace isolde::bench
