#include "bench/held_snapshot.h"

#include <cstdio>

namespace isolde::bench {
namespace {

// Bytes that the files grew by.
template <typename Store>
double growth(Stores& stores, bool held) {
  const auto store = stores.fresh<Store>(StoreKind::unsynced);
  const std::uint64_t before = store->file_bytes();
  store->update_all(Sweep(stores.keys()), held);
  const auto grown = static_cast<double>(store->file_bytes()) - static_cast<double>(before);
  std::printf("%-8s %-10s %10.1f MB -> %10.1f MB   %s\n", Store::name, held ? "held" : "none",
              static_cast<double>(before) / 1e6, (static_cast<double>(before) + grown) / 1e6,
              store->memory().c_str());
  std::fflush(stdout);
  return grown;
}

template <typename Store>
void print_store(Stores& stores) {
  const double without = growth<Store>(stores, false);
  const double with = growth<Store>(stores, true);
  std::printf("%-8s growth with a snapshot held: %.2f x of that without\n\n", Store::name,
              with / without);
}

}  // namespace

void print_held_snapshot(Stores& stores) {
  std::printf("%llu keys, each updated once, %llu to a transaction, unsynced\n\n",
              static_cast<unsigned long long>(stores.keys()),
              static_cast<unsigned long long>(Sweep::batch));
  std::printf("%-8s %-10s %s\n", "store", "snapshot", "files before and after");
  print_store<IsoldeStore>(stores);
  print_store<RawStore>(stores);
}

}  // namespace isolde::bench
