#include "lab/text/json.h"

#include "lab/text/text.h"

namespace isolde::lab {

Json bytes_json(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  return Json{{"hex", hex(bytes)}};
}

Json value_json(const std::optional<std::string>& value) {
  return value ? bytes_json(*value) : Json(nullptr);
}

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_line(const Json& json) { return json_text(json) + '\n'; }

}  // namespace isolde::lab
