#include "lab/history/history.h"

#include <fmt/format.h>

#include "isolde/keyspace.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

// Ids up to this far beyond the number of transactions are kept in a plain table.
constexpr std::uint64_t slack = 65536;

std::string in_keyspace(std::string_view keyspace, const std::string& text) {
  if (keyspace == default_keyspace_name) return text;
  return fmt::format("{}/{}", spelled_short(keyspace), text);
}

}  // namespace

std::uint32_t HistoryBuilder::key(std::string_view keyspace, std::string_view key) {
  // The name of a keyspace holds no NUL, so the pair is told apart from all others.
  scratch_.assign(keyspace);
  scratch_.push_back('\0');
  scratch_.append(key);
  const auto found = keys_.find(std::string_view(scratch_));
  if (found != keys_.end()) return found->second;
  const auto index = static_cast<std::uint32_t>(history.keys.size());
  history.keys.push_back({std::string(keyspace), std::string(key)});
  keys_.emplace(scratch_, index);
  return index;
}

std::uint32_t HistoryBuilder::find(std::uint64_t id) const {
  if (id < small_ids_.size() && small_ids_[id] != no_index) return small_ids_[id];
  if (large_ids_.empty()) return no_index;
  const auto found = large_ids_.find(id);
  return found == large_ids_.end() ? no_index : found->second;
}

std::uint32_t HistoryBuilder::add(std::uint64_t id) {
  const auto index = static_cast<std::uint32_t>(history.transactions.size());
  history.transactions.emplace_back().id = id;
  if (id < 4 * (history.transactions.size() + slack)) {
    if (id >= small_ids_.size()) small_ids_.resize(id + 1 + small_ids_.size() / 2, no_index);
    small_ids_[id] = index;
  } else {
    large_ids_.emplace(id, index);
  }
  return index;
}

std::string spelled_key(const HistoryKey& key) {
  return in_keyspace(key.keyspace, spelled_short(key.key));
}

std::string spelled_range(const HistoryRange& range) {
  std::string text = range.lower.empty() ? std::string() : spelled_short(range.lower);
  text += "..";
  if (range.upper) text += spelled_short(*range.upper);
  if (range.lower.empty() && !range.upper) text = "*";
  return in_keyspace(range.keyspace, text);
}

}  // namespace isolde::lab
