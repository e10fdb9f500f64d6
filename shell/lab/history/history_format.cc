#include "lab/history/history_format.h"

#include "lab/history/edn_reader.h"
#include "lab/history/json_reader.h"

namespace isolde::lab {

std::unique_ptr<HistoryReader> history_reader(HistoryFormat format) {
  if (format == HistoryFormat::edn) return edn_history_reader();
  return json_history_reader();
}

HistoryFormat format_of(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return HistoryFormat::json;
  const char c = line[first];
  if (c == '[' || c == ';' || c == '#' || c == '(') return HistoryFormat::edn;
  const std::size_t second = line.find_first_not_of(" \t\r,", first + 1);
  const bool keyword = c == '{' && second != std::string_view::npos && line[second] == ':';
  return keyword ? HistoryFormat::edn : HistoryFormat::json;
}

std::variant<History, InputFault> parse_history(std::string_view text) {
  std::unique_ptr<HistoryReader> reader;
  std::size_t blank = 0;  // lines before the first that says which format it is
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!reader) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
        ++blank;
        continue;
      }
      reader = history_reader(format_of(line));
      for (; blank > 0; --blank) static_cast<void>(reader->line({}));
    }
    if (auto fault = reader->line(line)) return std::move(*fault);
  }
  if (!reader) reader = history_reader(HistoryFormat::json);
  return reader->finish();
}

}  // namespace isolde::lab
