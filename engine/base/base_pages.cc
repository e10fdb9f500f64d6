#include "engine/base/base_pages.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/base/lmdb_error.h"

namespace isolde::engine {
namespace {

constexpr std::size_t header_bytes = 16;
constexpr std::size_t node_bytes = 8;
constexpr std::size_t tree_bytes = 48;
constexpr std::size_t meta_bytes = 24 + 2 * tree_bytes + 16;
constexpr std::uint32_t magic = 0xBEEFC0DE;
constexpr std::uint32_t data_version = 1;
constexpr unsigned max_depth = 32;  // LMDB's cursors hold no more
constexpr std::uint64_t first_page = 2;
constexpr std::uint16_t integer_key = 0x08;

constexpr std::uint16_t branch_page = 0x01;
constexpr std::uint16_t leaf_page = 0x02;
constexpr std::uint16_t overflow_page = 0x04;
constexpr std::uint16_t meta_page = 0x08;

constexpr std::uint16_t big_value = 0x01;
constexpr std::uint16_t tree_value = 0x02;

template <typename Integer>
Integer load(std::string_view bytes, std::size_t offset) noexcept {
  Integer value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

PageTree load_tree(std::string_view bytes) noexcept {
  PageTree tree;
  tree.flags = load<std::uint16_t>(bytes, 4);
  tree.depth = load<std::uint16_t>(bytes, 6);
  tree.entries = load<std::uint64_t>(bytes, 32);
  tree.root = load<std::uint64_t>(bytes, 40);
  return tree;
}

bool is_page_size(std::uint32_t bytes) noexcept {
  return bytes >= 256 && bytes <= 65536 && (bytes & (bytes - 1)) == 0;
}

// A meta page's bytes, or what is wrong with them.
enum class MetaKind : std::uint8_t { valid, other_version, invalid };
MetaKind kind_of_meta(std::string_view bytes) noexcept {
  const bool marked = (load<std::uint16_t>(bytes, 10) & meta_page) != 0;
  if (!marked || load<std::uint32_t>(bytes, header_bytes) != magic) return MetaKind::invalid;
  return load<std::uint32_t>(bytes, header_bytes + 4) == data_version ? MetaKind::valid
                                                                      : MetaKind::other_version;
}

Error file_error(ErrorCode code, const std::filesystem::path& file, const std::string& what) {
  Evidence evidence;
  evidence.file = file.string();
  return {code, file.string() + ' ' + what, std::move(evidence)};
}

struct Node {
  std::uint16_t flags = 0;
  std::uint64_t number = 0;  // of a branch: the child's page; of a leaf: the value's size
  std::string_view key;
  std::size_t value_offset = 0;
};

// The node at `index`, if it lies inside the page up to its key.
std::optional<Node> load_node(std::string_view page, std::size_t index, bool branch) noexcept {
  const std::size_t offset = load<std::uint16_t>(page, header_bytes + 2 * index);
  const std::size_t upper = load<std::uint16_t>(page, 14);
  if (offset < upper || offset + node_bytes > page.size()) return std::nullopt;
  const auto low = load<std::uint16_t>(page, offset);
  const auto high = load<std::uint16_t>(page, offset + 2);
  Node node;
  node.flags = load<std::uint16_t>(page, offset + 4);
  const std::size_t key_bytes = load<std::uint16_t>(page, offset + 6);
  if (offset + node_bytes + key_bytes > page.size()) return std::nullopt;
  node.key = page.substr(offset + node_bytes, key_bytes);
  node.value_offset = offset + node_bytes + key_bytes;
  node.number = std::uint64_t{low} | std::uint64_t{high} << 16;
  if (branch) node.number |= std::uint64_t{node.flags} << 32;
  return node;
}

}  // namespace

std::string_view special_flag_name(std::uint16_t flags) noexcept {
  constexpr std::array<std::pair<std::uint16_t, std::string_view>, 6> names{{
      {0x04, "DUPSORT"},
      {integer_key, "INTEGERKEY"},
      {0x02, "REVERSEKEY"},
      {0x10, "DUPFIXED"},
      {0x20, "INTEGERDUP"},
      {0x40, "REVERSEDUP"},
  }};
  for (const auto& [flag, flag_name] : names) {
    if ((flags & flag) != 0) return flag_name;
  }
  return "";
}

// One walk of one tree.
struct PageFile::Walk {
  const PageTree& tree;
  const std::string& what;
  Extent extent;
  bool numbers;  // keys are 64-bit numbers (the list of free pages)
  const Visitor& visit;

  std::uint64_t entries = 0;

  bool less(std::string_view a, std::string_view b) const noexcept {
    return numbers ? load<std::uint64_t>(a, 0) < load<std::uint64_t>(b, 0) : a < b;
  }
  bool is_key(std::string_view key) const noexcept {
    return numbers ? key.size() == sizeof(std::uint64_t)
                   : !key.empty() && key.size() <= max_key_bytes;
  }
};

PageFile::PageFile(int descriptor, std::filesystem::path file) noexcept
    : descriptor_(descriptor), file_(std::move(file)) {}

PageFile::PageFile(PageFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      file_(std::move(other.file_)),
      file_bytes_(other.file_bytes_),
      page_bytes_(other.page_bytes_),
      roots_(other.roots_),
      seen_(std::move(other.seen_)) {}

PageFile::~PageFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<PageFile> PageFile::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return lmdb_error(errno, "open", path);
  PageFile file(descriptor, path);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return lmdb_error(errno, "open", path);
  if (!S_ISREG(status.st_mode)) {
    return file_error(ErrorCode::not_a_database, path, "is not a regular file");
  }
  file.file_bytes_ = static_cast<std::uint64_t>(status.st_size);
  if (Result<void> found = file.find_page_size(); !found) return found.error();
  return file;
}

Error PageFile::damaged(const std::string& what, std::uint64_t page) const {
  Evidence evidence;
  evidence.file = file_.string();
  evidence.offset = page * page_bytes_;
  return {ErrorCode::corruption,
          file_.string() + " is damaged: " + what + " (page " + std::to_string(page) +
              "); restore it from a backup",
          std::move(evidence)};
}

// Short at the end of the file.
Result<void> PageFile::read(std::uint64_t offset, std::size_t bytes, std::string& into) const {
  into.resize(bytes);
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got =
        ::pread(descriptor_, into.data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return lmdb_error(errno, "read", file_);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  into.resize(done);
  return {};
}

// Both meta pages must be there and agree; one that does not is damage, not another format.
Result<void> PageFile::find_page_size() {
  constexpr std::size_t needed = header_bytes + meta_bytes;
  std::string first;
  if (Result<void> done = read(0, needed, first); !done) return done;
  const bool whole = first.size() == needed;
  const MetaKind kind = whole ? kind_of_meta(first) : MetaKind::invalid;
  if (whole && kind != MetaKind::invalid) {
    page_bytes_ = load<std::uint32_t>(first, header_bytes + 24);
  }
  const bool sized = is_page_size(page_bytes_);
  if (!sized) page_bytes_ = static_cast<std::uint32_t>(::sysconf(_SC_PAGESIZE));

  std::string second;
  if (Result<void> done = read(page_bytes_, needed, second); !done) return done;
  const MetaKind second_kind = second.size() == needed ? kind_of_meta(second) : MetaKind::invalid;
  if (kind == MetaKind::invalid && second_kind == MetaKind::invalid) {
    return file_error(ErrorCode::not_a_database, file_,
                      file_bytes_ == 0 ? "is empty; restore it from a backup, or remove it if "
                                         "there was nothing in it"
                                       : "is not an LMDB file");
  }
  if (kind == MetaKind::other_version && second_kind == MetaKind::other_version) {
    return file_error(ErrorCode::format_unsupported, file_,
                      "has version " +
                          std::to_string(load<std::uint32_t>(first, header_bytes + 4)) +
                          " of LMDB's format, only version 1 is supported");
  }
  if (!sized || kind != MetaKind::valid) return damaged("its first meta page is not one", 0);
  if (second_kind != MetaKind::valid ||
      load<std::uint32_t>(second, header_bytes + 24) != page_bytes_) {
    return damaged("its second meta page is not one", 1);
  }
  return {};
}

Result<std::optional<PageRoots>> PageFile::read_manifest(unsigned index) const {
  std::string bytes;
  if (Result<void> done =
          read(std::uint64_t{index} * page_bytes_, header_bytes + meta_bytes, bytes);
      !done) {
    return done.error();
  }
  if (bytes.size() != header_bytes + meta_bytes || kind_of_meta(bytes) != MetaKind::valid) {
    return std::optional<PageRoots>{};
  }
  const std::string_view meta = std::string_view(bytes).substr(header_bytes);
  PageRoots roots;
  roots.free = load_tree(meta.substr(24));
  roots.main = load_tree(meta.substr(24 + tree_bytes));
  roots.last_page = load<std::uint64_t>(meta, 24 + 2 * tree_bytes);
  roots.transaction = load<std::uint64_t>(meta, 24 + 2 * tree_bytes + 8);
  return std::optional<PageRoots>{roots};
}

// Transaction n writes meta page n % 2, so the other one is of n - 1 (a new file: both of 0).
// LMDB would misread anything else.
Result<PageRoots> PageFile::newest() const {
  Result<std::optional<PageRoots>> even = read_manifest(0);
  if (!even) return even.error();
  Result<std::optional<PageRoots>> odd = read_manifest(1);
  if (!odd) return odd.error();
  if (!*even || !*odd) return damaged("a meta page is not one", *even ? 1 : 0);
  const bool odd_is_newest = (*odd)->transaction > (*even)->transaction;
  const PageRoots& newer = odd_is_newest ? **odd : **even;
  const PageRoots& older = odd_is_newest ? **even : **odd;
  const bool is_new = newer.transaction == 0 && older.transaction == 0;
  if (!is_new && (older.transaction + 1 != newer.transaction ||
                  (newer.transaction % 2 == 1) != odd_is_newest)) {
    return damaged("its meta pages belong to transactions " + std::to_string(older.transaction) +
                       " and " + std::to_string(newer.transaction),
                   odd_is_newest ? 1 : 0);
  }
  if ((newer.free.flags & special_tree_flags) != integer_key) {
    return damaged("the list of free pages has impossible flags", odd_is_newest ? 1 : 0);
  }
  // The file may be shorter than its pages by what one transaction allocates and gives up (LMDB: at
  // most 2^17 pages, and long values); far more would make LMDB ask for a map beyond all bounds.
  const std::uint64_t page_limit = file_bytes_ / page_bytes_ + (std::uint64_t{1} << 20);
  if (newer.last_page + 1 < first_page || newer.last_page > page_limit) {
    return damaged("its meta page claims page " + std::to_string(newer.last_page),
                   odd_is_newest ? 1 : 0);
  }
  return newer;
}

Result<std::optional<PageRoots>> PageFile::state_of(std::uint64_t transaction) const {
  Result<std::optional<PageRoots>> roots = read_manifest(transaction % 2);
  if (roots && *roots && (*roots)->transaction != transaction) return std::optional<PageRoots>{};
  return roots;
}

void PageFile::begin(const PageRoots& roots) {
  roots_ = roots;
  seen_.clear();
}

// Grows with the file, not with what a damaged number claims.
Result<void> PageFile::see(std::uint64_t page) {
  if (page < first_page || page > roots_.last_page) {
    return damaged("there is a reference to a page outside the file", page);
  }
  if ((page + 1) * page_bytes_ > file_bytes_) {
    struct stat status {};
    if (::fstat(descriptor_, &status) == 0) {
      file_bytes_ = static_cast<std::uint64_t>(status.st_size);
    }
    if ((page + 1) * page_bytes_ > file_bytes_) {
      return damaged("the file ends before a page in use: it was truncated", page);
    }
  }
  if (page >= seen_.size()) seen_.resize(page + 1 + page / 2);
  if (seen_[page]) return damaged("a page is used twice", page);
  seen_[page] = true;
  return {};
}

Result<void> PageFile::walk(const PageTree& tree, const std::string& what, Extent extent,
                            const Visitor& visit) {
  Walk state{tree, what, extent, &tree == &roots_.free, visit};
  if (tree.is_empty()) {
    if (tree.entries != 0 || tree.depth != 0) return damaged(what + " has lost its root", 0);
    return {};
  }
  if (tree.depth == 0 || tree.depth > max_depth) {
    return damaged(what + " claims a depth of " + std::to_string(tree.depth), tree.root);
  }
  if (Result<void> done = visit_page(state, tree.root, 0, std::nullopt, std::nullopt); !done) {
    return done;
  }
  if (extent == Extent::all && state.entries != tree.entries) {
    return damaged(what + " claims " + std::to_string(tree.entries) + " entries and has " +
                       std::to_string(state.entries),
                   tree.root);
  }
  return {};
}

Result<void> PageFile::visit_page(Walk& walk, std::uint64_t number, unsigned level,
                                  std::optional<std::string_view> from,
                                  std::optional<std::string_view> to) {
  if (Result<void> fine = see(number); !fine) return fine;
  std::string page;
  if (Result<void> done = read(number * page_bytes_, page_bytes_, page); !done) return done;
  if (page.size() != page_bytes_) return damaged("the file ends inside a page", number);
  const bool leaf = level + 1u == walk.tree.depth;
  if (load<std::uint64_t>(page, 0) != number ||
      load<std::uint16_t>(page, 10) != (leaf ? leaf_page : branch_page)) {
    return damaged(walk.what + " leads to a page that is none of its own", number);
  }
  const std::size_t lower = load<std::uint16_t>(page, 12);
  const std::size_t upper = load<std::uint16_t>(page, 14);
  const std::size_t least = header_bytes + (leaf || walk.numbers ? 2 : 4);
  if (lower < least || lower % 2 != 0 || upper < lower || upper > page_bytes_) {
    return damaged("a page of " + walk.what + " has impossible bounds", number);
  }
  return leaf ? visit_leaf(walk, page, number, from, to)
              : visit_branch(walk, page, number, level, from, to);
}

// The first key of a branch is not one: that child has everything below the second.
Result<void> PageFile::visit_branch(Walk& walk, const std::string& page, std::uint64_t number,
                                    unsigned level, std::optional<std::string_view> from,
                                    std::optional<std::string_view> to) {
  const std::size_t count = (load<std::uint16_t>(page, 12) - header_bytes) / 2;
  std::optional<std::string_view> lower = from;
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<Node> node = load_node(page, i, true);
    const std::optional<Node> next =
        i + 1 < count ? load_node(page, i + 1, true) : std::optional<Node>{};
    if (!node || (i + 1 < count && !next) || (next && !walk.is_key(next->key))) {
      return damaged("a page of " + walk.what + " has an entry outside its bounds", number);
    }
    const std::optional<std::string_view> upper =
        next ? std::optional<std::string_view>(next->key) : to;
    if (lower && upper && !walk.less(*lower, *upper)) {
      return damaged("a page of " + walk.what + " is out of order", number);
    }
    if (walk.extent == Extent::all || i == 0 || i + 1 == count) {
      if (Result<void> done = visit_page(walk, node->number, level + 1, lower, upper); !done) {
        return done;
      }
    }
    lower = upper;
  }
  return {};
}

Result<void> PageFile::visit_leaf(Walk& walk, const std::string& page, std::uint64_t number,
                                  std::optional<std::string_view> from,
                                  std::optional<std::string_view> to) {
  const std::size_t count = (load<std::uint16_t>(page, 12) - header_bytes) / 2;
  std::optional<std::string_view> previous;
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<Node> node = load_node(page, i, false);
    const bool big = node && (node->flags & big_value) != 0;
    const std::uint64_t here = node && big ? sizeof(std::uint64_t) : (node ? node->number : 0);
    if (!node || !walk.is_key(node->key) || node->value_offset + here > page.size() ||
        (node->flags & ~(big_value | tree_value)) != 0) {
      return damaged("a page of " + walk.what + " has an entry that is not valid", number);
    }
    if ((previous && !walk.less(*previous, node->key)) || (from && walk.less(node->key, *from)) ||
        (to && !walk.less(node->key, *to))) {
      return damaged("keys of " + walk.what + " are out of order at " + isolde::quoted(node->key),
                     number);
    }
    previous = node->key;
    ++walk.entries;

    PageEntry entry;
    entry.key = node->key;
    entry.is_tree = (node->flags & tree_value) != 0;
    std::string overflow;
    if (big) {
      Result<std::string> read =
          read_overflow(walk, load<std::uint64_t>(page, node->value_offset), node->number);
      if (!read) return read.error();
      overflow = std::move(*read);
      entry.value = overflow;
    } else {
      entry.value = std::string_view(page).substr(node->value_offset, node->number);
    }
    if (entry.is_tree && (big || entry.value.size() != tree_bytes)) {
      return damaged("the record of database " + isolde::quoted(entry.key) + " is malformed",
                     number);
    }
    if (Result<void> taken = walk.visit(entry); !taken) return taken;
  }
  return {};
}

// A long value has pages of its own, in a row; only the first has a header.
Result<std::string> PageFile::read_overflow(Walk& walk, std::uint64_t number, std::uint64_t bytes) {
  const std::uint64_t pages = (header_bytes - 1 + bytes) / page_bytes_ + 1;
  for (std::uint64_t i = 0; i < pages; ++i) {
    if (Result<void> fine = see(number + i); !fine) return fine.error();
  }
  std::string content;
  if (Result<void> done = read(number * page_bytes_, header_bytes + bytes, content); !done) {
    return done.error();
  }
  if (content.size() != header_bytes + bytes) {
    return damaged("the file ends inside a value of " + walk.what, number);
  }
  if (load<std::uint64_t>(content, 0) != number ||
      load<std::uint16_t>(content, 10) != overflow_page ||
      load<std::uint32_t>(content, 12) != pages) {
    return damaged("a long value of " + walk.what + " is not where it should be", number);
  }
  content.erase(0, header_bytes);
  return content;
}

Result<PageFile::MainTree> PageFile::walk_main() {
  MainTree main;
  const std::string what = "the list of databases";
  Result<void> walked =
      walk(roots_.main, what, Extent::all, [&](const PageEntry& entry) -> Result<void> {
        if (!entry.is_tree) {
          ++main.plain_entries;
          return {};
        }
        main.named.push_back({std::string(entry.key), load_tree(entry.value)});
        return {};
      });
  if (!walked) return walked.error();
  return main;
}

// An entry: key = the transaction that freed them, value = their count, then their numbers.
Result<void> PageFile::walk_free() {
  return walk(roots_.free, "the list of free pages", Extent::all,
              [&](const PageEntry& entry) -> Result<void> {
                const std::string_view list = entry.value;
                const std::uint64_t count =
                    list.size() >= sizeof(std::uint64_t) ? load<std::uint64_t>(list, 0) : 0;
                if (count == 0 || count > list.size() / sizeof(std::uint64_t) - 1) {
                  return damaged("the list of free pages has a malformed entry", roots_.free.root);
                }
                for (std::uint64_t i = 1; i <= count; ++i) {
                  const auto page = load<std::uint64_t>(list, i * sizeof(std::uint64_t));
                  if (page < first_page || page > roots_.last_page ||
                      (page < seen_.size() && seen_[page])) {
                    return damaged("a page in use, or outside the file, is listed as free", page);
                  }
                  if (page < seen_.size()) seen_[page] = true;
                }
                return {};
              });
}

}  // namespace isolde::engine
