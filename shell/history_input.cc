#include "history_input.h"

#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "exit_code.h"
#include "lab/history/history_format.h"
#include "lab/history/history_reader.h"
#include "stream.h"

namespace isolde::shell {
namespace {

int refuse(const Error& error) {
  complain(error.message());
  return error.code() == ErrorCode::cancelled ? exit_interrupted : exit_usage;
}

int malformed(const std::string& name, const lab::InputFault& fault) {
  complain(fmt::format("{}:{}:{}: {}", name, fault.line, fault.column, fault.message));
  return exit_usage;
}

}  // namespace

std::variant<lab::History, int> read_history(const std::string& file) {
  auto input = LineInput::open(file);
  if (!input) return refuse(input.error());
  std::unique_ptr<lab::HistoryReader> reader;
  std::size_t blank = 0;
  for (std::size_t number = 1;; ++number) {
    auto line = input->next();
    if (!line) {
      if (line.error().code() == ErrorCode::cancelled) return refuse(line.error());
      complain(fmt::format("{}:{}:1: {}", input->name(), number, line.error().message()));
      return exit_usage;
    }
    if (!*line) break;
    if (!reader) {
      if ((*line)->find_first_not_of(" \t\r") == std::string_view::npos) {
        ++blank;
        continue;
      }
      reader = lab::history_reader(lab::format_of(**line));
      for (; blank > 0; --blank) static_cast<void>(reader->line({}));
    }
    if (const auto fault = reader->line(**line)) return malformed(input->name(), *fault);
  }
  if (!reader) {
    complain(fmt::format("{}: there is no history in it", input->name()));
    return exit_usage;
  }
  auto finished = reader->finish();
  if (const auto* fault = std::get_if<lab::InputFault>(&finished)) {
    return malformed(input->name(), *fault);
  }
  return std::move(std::get<lab::History>(finished));
}

}  // namespace isolde::shell
