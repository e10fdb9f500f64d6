// The stores of a run, each loaded when it is first used, all removed at its end.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "bench/isolde_store.h"
#include "bench/raw_store.h"

namespace isolde::bench {

// Thread safety: all methods may be called concurrently.
class Stores {
 public:
  // Works in a new directory inside `parent`. Ends the process if it can't be made.
  Stores(const std::filesystem::path& parent, std::uint64_t keys);
  Stores(const Stores&) = delete;
  Stores& operator=(const Stores&) = delete;
  ~Stores();

  template <typename Store>
  Store& get(StoreKind kind) {
    const std::scoped_lock lock(mutex_);
    auto& store = std::get<Set<Store>>(sets_)[static_cast<std::size_t>(kind)];
    if (!store) {
      const auto number = std::to_string(static_cast<int>(kind));
      store = std::make_unique<Store>(directory_ / (Store::name + number), kind, keys_);
    }
    return *store;
  }

  // One that is used once, and gone with what it returns.
  template <typename Store>
  std::unique_ptr<Store> fresh(StoreKind kind) {
    const std::scoped_lock lock(mutex_);
    const auto number = std::to_string(++fresh_);
    return std::make_unique<Store>(directory_ / ("fresh" + number), kind, keys_);
  }

  // The time of one small write with its fdatasync into a preallocated file beside the stores, in
  // microseconds: what a durable commit can't do without.
  double lone_sync_us();
  const std::filesystem::path& directory() const { return directory_; }
  std::uint64_t keys() const { return keys_; }

 private:
  template <typename Store>
  using Set = std::array<std::unique_ptr<Store>, 4>;

  std::filesystem::path directory_;
  std::uint64_t keys_;
  std::mutex mutex_;
  int fresh_ = 0;
  std::tuple<Set<RawStore>, Set<IsoldeStore>> sets_;
};

}  // namespace isolde::bench
