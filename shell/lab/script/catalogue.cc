#include "lab/script/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "lab/script/parse_script.h"
#include "lab/script/phenomenon.h"
#include "lab/script/shipped_scripts.h"
#include "lab/script/token.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

struct Section {
  std::string key;
  std::string text;
  Place place;
};

struct TextSection {
  std::string_view key;
  std::string CatalogueEntry::*member;
};

constexpr std::array<TextSection, 6> text_sections{{
    {"question", &CatalogueEntry::question},
    {"notice", &CatalogueEntry::notice},
    {"prevented", &CatalogueEntry::prevented},
    {"costs", &CatalogueEntry::costs},
    {"tolerate", &CatalogueEntry::tolerate},
    {"try", &CatalogueEntry::try_next},
}};

bool is_blank_line(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") + 1 - first));
}

// Reads a header's sections; what is wrong with them is left in `errors`.
class HeaderReader {
 public:
  HeaderReader(const Script& script, std::vector<ScriptError>& errors)
      : source_(script.source), errors_(errors) {
    std::size_t number = 1;
    const auto more = [&] { return number <= source_.line_count(); };
    while (more() && source_.line(number).starts_with('#')) ++number;  // the story
    while (more() && is_blank_line(source_.line(number))) ++number;
    end_ = {number, 1, 1};
    for (; more() && source_.line(number).starts_with('#'); ++number) read_line(number);
  }

  // Nothing, and an error, if it is missing.
  const Section* find(std::string_view key) {
    const auto found = std::find_if(sections_.begin(), sections_.end(),
                                    [key](const Section& section) { return section.key == key; });
    if (found != sections_.end()) return &*found;
    fail(end_, fmt::format("the header has no section '# {}: ...'", key));
    return nullptr;
  }

  void fail(const Place& place, std::string message) {
    errors_.push_back({place, std::move(message)});
  }

 private:
  void read_line(std::size_t number) {
    const std::string_view line = source_.line(number);
    const std::string_view body = line.substr(1);
    const Place place{number, 1, line.size()};
    if (body.starts_with("  ") && !sections_.empty()) {
      sections_.back().text += ' ' + trimmed(body);
      return;
    }
    const std::size_t colon = body.find(':');
    const std::string key = trimmed(body.substr(0, colon));
    const bool known = key == "group" || key == "play" ||
                       std::any_of(text_sections.begin(), text_sections.end(),
                                   [&](const TextSection& section) { return section.key == key; });
    if (colon == std::string_view::npos || !known) {
      fail(place,
           "expected a section: group, question, play, notice, prevented, costs, tolerate "
           "or try, with a colon");
    } else if (std::any_of(sections_.begin(), sections_.end(),
                           [&](const Section& section) { return section.key == key; })) {
      fail(place, fmt::format("there is a section {} already", key));
    } else {
      sections_.push_back({key, trimmed(body.substr(colon + 1)), place});
    }
  }

  const Source& source_;
  std::vector<ScriptError>& errors_;
  std::vector<Section> sections_;
  Place end_;
};

// "1 @ rc; 2 @ rc pessimistic"
void read_plays(HeaderReader& header, const Section& section, CatalogueEntry& entry) {
  TokenStream tokens(section.text, section.place.line);
  do {
    const Token number = tokens.expect_word("the number of a schedule");
    const auto schedule = to_integer(number.text);
    const auto count = static_cast<std::int64_t>(entry.script.schedules.size());
    if (!schedule || *schedule < 1 || *schedule > count || !tokens.accept_symbol("@")) {
      return header.fail(section.place,
                         "expected plays like '1 @ rc; 2 @ rc pessimistic', of "
                         "schedules that the script has");
    }
    CataloguePlay play{static_cast<std::size_t>(*schedule) - 1, {}};
    const auto level = accept_level(tokens);
    const auto locking = accept_locking(tokens);
    if (!level) return header.fail(section.place, "expected a level after @");
    play.cell = {*level, locking.value_or(Locking::optimistic)};
    entry.plays.push_back(play);
  } while (tokens.accept_symbol(";"));
  if (!tokens.at_end()) header.fail(section.place, "expected ; between plays");
}

void read_header(CatalogueEntry& entry, std::vector<ScriptError>& errors) {
  HeaderReader header(entry.script, errors);
  for (const TextSection& section : text_sections) {
    if (const Section* found = header.find(section.key)) entry.*section.member = found->text;
  }
  if (const Section* found = header.find("group")) {
    const auto group = std::find_if(all_catalogue_groups.begin(), all_catalogue_groups.end(),
                                    [&](CatalogueGroup each) { return name(each) == found->text; });
    if (group == all_catalogue_groups.end()) {
      header.fail(found->place, "the groups are phenomenon, deadlock and production");
    } else {
      entry.group = *group;
    }
  }
  if (const Section* found = header.find("play")) read_plays(header, *found, entry);

  std::string story;
  for (const std::string& line : entry.script.story) story += line + ' ';
  const std::size_t colon = story.find(':');
  entry.title = story.substr(0, colon);
  if (colon == std::string::npos || entry.title.empty()) {
    header.fail({1, 1, 1}, "the story begins with a title and a colon");
  }
}

}  // namespace

std::string_view name(CatalogueGroup group) noexcept {
  switch (group) {
    case CatalogueGroup::phenomenon:
      return "phenomenon";
    case CatalogueGroup::deadlock:
      return "deadlock";
    case CatalogueGroup::production:
      break;
  }
  return "production";
}

std::string_view heading(CatalogueGroup group) noexcept {
  switch (group) {
    case CatalogueGroup::phenomenon:
      return "Phenomena: what tells the isolation levels apart";
    case CatalogueGroup::deadlock:
      return "Deadlocks";
    case CatalogueGroup::production:
      break;
  }
  return "From the interview room and from production";
}

std::string CatalogueEntry::schedule_title(std::size_t schedule) const {
  std::string told;
  for (std::size_t line = script.schedules.at(schedule).place.line - 1;
       line > 0 && script.source.line(line).starts_with('#'); --line) {
    std::string text = trimmed(script.source.line(line).substr(1));
    if (!told.empty()) text.append(1, ' ').append(told);
    told = std::move(text);
  }
  return told;
}

ParsedEntry parse_entry(std::string file, std::string text) {
  std::string entry_name = file.substr(0, file.rfind('.'));
  ParsedScript parsed = parse_script(std::move(file), std::move(text));
  if (!parsed.script) {
    return {std::nullopt, std::move(parsed.errors), std::move(parsed.source)};
  }
  CatalogueEntry entry(std::move(entry_name), std::move(*parsed.script));
  std::vector<ScriptError> errors;
  read_header(entry, errors);
  if (!errors.empty()) return {std::nullopt, std::move(errors), std::move(parsed.source)};
  return {std::move(entry), {}, std::move(parsed.source)};
}

std::vector<CatalogueEntry> catalogue() {
  std::vector<CatalogueEntry> entries;
  for (const ShippedScript& script : shipped_scripts()) {
    ParsedEntry parsed = parse_entry(std::string(script.name), std::string(script.text));
    // What ships has been tested; this names the script to a developer who has just broken it.
    if (!parsed.entry) throw std::logic_error(render(parsed.source, parsed.errors.front()));
    entries.push_back(std::move(*parsed.entry));
  }
  const auto rank = [](const CatalogueEntry& entry) {
    const auto phenomenon = phenomenon_from_name(entry.name);
    return std::pair(entry.group, phenomenon ? static_cast<std::size_t>(*phenomenon) : 0);
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return entries;
}

}  // namespace isolde::lab
