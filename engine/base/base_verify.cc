// Base::verify: every page, every entry, and the manifest against what is there.
#include "engine/base/base_pages.h"
#include "engine/base/base_state.h"

namespace isolde::engine {
namespace {

// The newest state, held in place by a read transaction, and its roots from the file.
struct Pinned {
  LmdbTransaction transaction;
  PageRoots roots;
};

// Why the environment is asked after the meta page was read: transaction n's meta page is written
// again by n + 2, which begins only after n + 1 is published; with n still the last one published,
// what was read is whole.
Result<Pinned> pin_newest(const Base::State& state, const PageFile& pages) {
  for (;;) {
    MDB_txn* begun = nullptr;
    const int code = mdb_txn_begin(state.environment.get(), nullptr, MDB_RDONLY, &begun);
    if (code != MDB_SUCCESS) return lmdb_error(code, "read", state.file);
    LmdbTransaction transaction(begun);
    const std::uint64_t number = mdb_txn_id(begun);
    Result<std::optional<PageRoots>> roots = pages.state_of(number);
    if (!roots) return roots.error();
    MDB_envinfo info{};
    mdb_env_info(state.environment.get(), &info);
    if (info.me_last_txnid != number) continue;
    if (!*roots) return corrupt_base("its meta pages are not what LMDB works with", state.file);
    return Pinned{std::move(transaction), **roots};
  }
}

Result<void> check_names(const Manifest& manifest, const PageFile::MainTree& main,
                         const std::filesystem::path& file) {
  std::size_t present = 0;
  for (const NamedTree& named : main.named) {
    if (named.name == meta_name) continue;
    if (manifest.named.count(named.name) == 0) {
      return corrupt_base("database " + isolde::quoted(named.name) + " is not in its manifest",
                          file);
    }
    ++present;
  }
  if (present != manifest.named.size()) {
    return corrupt_base("a keyspace of its manifest is not there", file);
  }
  if (main.plain_entries != 0) {
    return corrupt_base("there are records outside its keyspaces", file);
  }
  return {};
}

}  // namespace

Result<BaseSummary> Base::verify() {
  const State& state = *state_;
  Result<PageFile> pages = PageFile::open(state.file);
  if (!pages) return pages.error();
  Result<Pinned> pinned = pin_newest(state, *pages);
  if (!pinned) return pinned.error();
  pages->begin(pinned->roots);
  Result<PageFile::MainTree> main = pages->walk_main();
  if (!main) return main.error();

  BaseSummary summary;
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;
  const auto count = [&](const PageEntry& entry) -> Result<void> {
    ++keys;
    bytes += entry.key.size() + entry.value.size();
    return {};
  };
  // The manifest's own tree first: LMDB must not read it before it is known to be sound.
  for (const bool of_manifest : {true, false}) {
    std::optional<Manifest> manifest;
    if (!of_manifest) {
      Result<Manifest> read = read_manifest(pinned->transaction.get(), state.meta, state.file);
      if (!read) return read.error();
      manifest = std::move(*read);
      const bool adopting = state.foreign.load();
      if (!adopting) {
        if (Result<void> fits = check_names(*manifest, *main, state.file); !fits) {
          return fits.error();
        }
      }
    }
    for (const NamedTree& named : main->named) {
      if ((named.name == meta_name) != of_manifest) continue;
      keys = bytes = 0;
      const bool is_meta = named.name == meta_name;
      Result<void> walked = pages->walk(
          named.tree, (is_meta ? "the manifest " : "keyspace ") + isolde::quoted(named.name),
          PageFile::Extent::all, count);
      if (!walked) return walked.error();
      if (is_meta) continue;
      const auto known = manifest->named.find(named.name);
      if (known == manifest->named.end() || known->second.kind != NamedKind::keyspace) continue;
      ++summary.keyspaces;
      summary.keys += keys;
      summary.bytes += bytes;
    }
  }
  if (Result<void> walked = pages->walk_free(); !walked) return walked.error();
  return summary;
}

}  // namespace isolde::engine
