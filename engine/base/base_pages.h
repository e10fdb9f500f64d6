// LMDB's file, read page by page with every bound checked: LMDB itself trusts its file, and dies of
// a damaged one (an assertion, or a signal). Used before LMDB maps the file, and by verify().
//
// Format: LMDB 0.9's MDB_page, MDB_meta, MDB_db and MDB_node (mdb.c), data version 1, 64 bit,
// little-endian. Private to the base.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/result.h"

namespace isolde::engine {

// Flags of a tree that change the order or the number of its entries.
inline constexpr std::uint16_t special_tree_flags = 0x7e;
// "DUPSORT", "INTEGERKEY", ...: the first of them that is set.
std::string_view special_flag_name(std::uint16_t flags) noexcept;

// The root of a B+ tree, as the file records it.
struct PageTree {
  std::uint16_t flags = 0;
  std::uint16_t depth = 0;
  std::uint64_t entries = 0;
  std::uint64_t root = 0;

  static constexpr std::uint64_t no_page = ~std::uint64_t{0};
  bool is_empty() const noexcept { return root == no_page; }
};

// One committed state: what a meta page says.
struct PageRoots {
  std::uint64_t transaction = 0;
  std::uint64_t last_page = 0;
  PageTree free;
  PageTree main;
};

struct NamedTree {
  std::string name;
  PageTree tree;
};

// An entry of a leaf. The views live until the visitor returns.
struct PageEntry {
  std::string_view key;
  std::string_view value;
  bool is_tree = false;  // the value is the root of a named database
};

// Thread safety: none. All errors: corruption (file, offset of the page; LMDB files too old or not
// LMDB's: format_unsupported, not_a_database), permission_denied, io_error.
class PageFile {
 public:
  static Result<PageFile> open(const std::filesystem::path& file);
  PageFile(PageFile&& other) noexcept;
  PageFile& operator=(PageFile&& other) = delete;
  ~PageFile();

  std::uint64_t file_bytes() const noexcept { return file_bytes_; }
  std::uint32_t page_bytes() const noexcept { return page_bytes_; }

  // The newest state. Precondition: no process writes to the file.
  Result<PageRoots> newest() const;
  // The state of `transaction`; nothing if its meta page has been used again.
  Result<std::optional<PageRoots>> state_of(std::uint64_t transaction) const;

  // Chooses the state that is walked from now on, with no page seen yet.
  void begin(const PageRoots& roots);

  enum class Extent : std::uint8_t {
    all,
    edges,  // the first and last page of each level only
  };
  using Visitor = std::function<Result<void>(const PageEntry&)>;

  // Walks a tree in key order: each page once in all trees of a state, in the file, of the right
  // kind and at the right depth, keys of 1 to 511 bytes in ascending order and within what the
  // branches promise, values inside their pages, as many as recorded. `what` names it in errors.
  Result<void> walk(const PageTree& tree, const std::string& what, Extent extent,
                    const Visitor& visit);
  // The named databases in the main tree, which is walked, and how many plain entries it has.
  struct MainTree {
    std::vector<NamedTree> named;
    std::uint64_t plain_entries = 0;
  };
  Result<MainTree> walk_main();
  // Walks the list of free pages: each is in the file, and of no tree that was walked before.
  Result<void> walk_free();

 private:
  struct Walk;
  explicit PageFile(int descriptor, std::filesystem::path file) noexcept;

  Result<void> read(std::uint64_t offset, std::size_t bytes, std::string& into) const;
  Result<void> find_page_size();
  Result<std::optional<PageRoots>> read_manifest(unsigned index) const;
  Result<void> visit_page(Walk& walk, std::uint64_t number, unsigned level,
                          std::optional<std::string_view> from, std::optional<std::string_view> to);
  Result<void> visit_branch(Walk& walk, const std::string& page, std::uint64_t number,
                            unsigned level, std::optional<std::string_view> from,
                            std::optional<std::string_view> to);
  Result<void> visit_leaf(Walk& walk, const std::string& page, std::uint64_t number,
                          std::optional<std::string_view> from, std::optional<std::string_view> to);
  Result<std::string> read_overflow(Walk& walk, std::uint64_t number, std::uint64_t bytes);
  Result<void> see(std::uint64_t page);
  Error damaged(const std::string& what, std::uint64_t page) const;

  int descriptor_ = -1;
  std::filesystem::path file_;
  std::uint64_t file_bytes_ = 0;
  std::uint32_t page_bytes_ = 0;
  PageRoots roots_;
  std::vector<bool> seen_;
};

}  // namespace isolde::engine
