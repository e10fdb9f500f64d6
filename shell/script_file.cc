#include "script_file.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "exit_code.h"
#include "lab/script/parse_script.h"
#include "lab/script/shipped_scripts.h"
#include "lab/text/text.h"
#include "stream.h"

namespace isolde::shell {
namespace {

std::vector<std::string_view> shipped_names() {
  std::vector<std::string_view> names;
  names.reserve(lab::shipped_scripts().size());
  for (const lab::ShippedScript& script : lab::shipped_scripts()) {
    names.push_back(script.name.substr(0, script.name.rfind('.')));
  }
  return names;
}

// A file, or by its bare name a script that ships.
std::optional<lab::ParsedScript> parsed_script(const std::string& file, int& code) {
  std::error_code ignored;
  const bool exists = file == "-" || std::filesystem::exists(file, ignored);
  if (!exists && file.find('/') == std::string::npos) {
    for (const lab::ShippedScript& script : lab::shipped_scripts()) {
      if (script.name == file || script.name == file + ".iso") {
        return lab::parse_script(std::string(script.name), std::string(script.text));
      }
    }
    complain(fmt::format("there is no file '{}', and no script of that name ships with isolde{}",
                         lab::printable(file), lab::did_you_mean(file, shipped_names())));
    std::fputs("`isolde demo` lists those that do.\n", stderr);
    code = exit_usage;
    return std::nullopt;
  }
  constexpr std::size_t largest_script = std::size_t{64} << 20;
  auto text = read_whole(file, largest_script);
  if (!text) {
    complain(text.error().message());
    code = text.error().code() == ErrorCode::cancelled ? exit_interrupted : exit_usage;
    return std::nullopt;
  }
  return lab::parse_script(file == "-" ? "<stdin>" : file, std::move(*text));
}

}  // namespace

std::optional<lab::Script> read_script(const std::string& file, int& code) {
  auto parsed = parsed_script(file, code);
  if (!parsed) return std::nullopt;
  if (parsed->script) return std::move(parsed->script);
  code = exit_usage;
  for (const lab::ScriptError& error : parsed->errors) {
    std::fputs(lab::render(parsed->source, error).c_str(), stderr);
  }
  return std::nullopt;
}

int tell_failure(const lab::Script& script, const lab::PlayFailure& failure) {
  if (!failure.place) return report(failure.error, script.source.name());
  const lab::ScriptError error{*failure.place,
                               fmt::format("setup failed: {}", failure.error.to_string())};
  std::fputs(lab::render(script.source, error).c_str(), stderr);
  return exit_usage;
}

}  // namespace isolde::shell
