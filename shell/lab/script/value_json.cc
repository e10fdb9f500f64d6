#include "lab/script/value_json.h"

#include <cstdint>
#include <variant>

#include "isolde/keyspace.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

struct ValueToJson {
  Json operator()(std::monostate) const { return nullptr; }
  Json operator()(Absent) const { return nullptr; }
  Json operator()(const std::string& text) const { return bytes_json(text); }
  Json operator()(std::int64_t number) const { return number; }
  Json operator()(const Entries& entries) const {
    Json list = Json::array();
    for (const auto& [key, value] : entries) {
      list.push_back(Json::array({bytes_json(key), bytes_json(value)}));
    }
    return list;
  }
};

}  // namespace

Json value_json(const Value& value) { return std::visit(ValueToJson{}, value); }

std::string place_name(const std::pair<std::string, std::string>& place) {
  const auto& [keyspace, key] = place;
  std::string shown;
  if (keyspace != default_keyspace_name) {
    shown = is_utf8(keyspace) ? keyspace : spelled(keyspace);
    shown += '/';
  }
  return shown + (is_utf8(key) ? key : spelled(key));
}

}  // namespace isolde::lab
