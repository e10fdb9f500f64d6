#include "tests/lab/history_notation.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "lab/history/history_format.h"

namespace isolde::lab::test {
namespace {

std::string quoted(const std::string& text) { return '"' + text + '"'; }

// One step: letters, a transaction, what stands in brackets, what follows.
class Step {
 public:
  explicit Step(const std::string& text) : text_(text) {
    const std::size_t digit = text.find_first_of("0123456789([");
    what = text.substr(0, digit);
    std::size_t at = digit;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') txn += text[at++];
    if (at < text.size() && (text[at] == '(' || text[at] == '[')) {
      const std::size_t close = text.find(')', at);
      if (close == std::string::npos) throw std::runtime_error("no ) in " + text);
      inside = text.substr(at + 1, close - at - 1);
      at = close + 1;
    }
    rest = text.substr(std::min(at, text.size()));
  }

  std::string json() const {
    const std::string event = R"({"event":")";
    const std::string of = R"(","txn":)" + txn;
    if (what == "b") return event + "begin" + of + begin_options() + "}";
    if (what == "c") return event + "commit" + of + "}";
    if (what == "x") return event + "abort" + of + "}";
    if (what == "u") return event + "undo" + of + R"(,"count":)" + rest.substr(1) + "}";
    const std::string key = R"(,"key":)" + quoted(inside);
    if (what == "w") return event + "write" + of + key + "}";
    if (what == "d") return event + "write" + of + key + R"(,"kind":"erase"})";
    if (what == "a") return event + "write" + of + key + R"(,"kind":"add"})";
    if (what == "o") {
      return event + R"(order","key":)" + quoted(inside) + R"(,"writers":[)" + rest.substr(1) +
             "]}";
    }
    const std::string flags = what == "cr"   ? R"(,"cursor":true)"
                              : what == "ur" ? R"(,"untracked":true)"
                              : what == "ar" ? R"(,"conditional":true)"
                                             : "";
    if (!flags.empty() || what == "r") {
      return event + "read" + of + key + version(rest.substr(1)) + flags + "}";
    }
    if (what == "s") return event + "scan" + of + bounds() + yields() + "}";
    throw std::runtime_error("what is " + text_ + "?");
  }

  std::string what;
  std::string txn;
  std::string inside;
  std::string rest;

 private:
  static std::string version(const std::string& text) {
    const std::size_t dot = text.find('.');
    std::string json = R"(,"from":)" + text.substr(0, dot);
    if (dot != std::string::npos) json += R"(,"write":)" + text.substr(dot + 1);
    return json;
  }
  std::string begin_options() const {
    if (rest.empty()) return {};
    const std::string name = rest[0] == '@' ? "level" : "session";
    return ",\"" + name + "\":" + quoted(rest.substr(1));
  }
  std::string bounds() const {
    const std::size_t dots = inside.find("..");
    return R"(,"lower":)" + quoted(inside.substr(0, dots)) + R"(,"upper":)" +
           quoted(inside.substr(dots + 2));
  }
  std::string yields() const {
    if (rest.size() < 2) return {};
    std::string json;
    std::istringstream stream(rest.substr(1));
    for (std::string entry; std::getline(stream, entry, ',');) {
      const std::size_t colon = entry.find(':');
      const bool absent = entry.back() == '!';
      if (absent) entry.pop_back();
      json += (json.empty() ? "" : ",") + (R"({"key":)" + quoted(entry.substr(0, colon))) +
              version(entry.substr(colon + 1)) + (absent ? R"(,"absent":true})" : "}");
    }
    return R"(,"yield":[)" + json + "]";
  }

  std::string text_;
};

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first);
}

void read_line(Entry& entry, const std::string& line) {
  const auto after = [&](const std::string& word) { return trimmed(line.substr(word.size())); };
  if (line.starts_with("=>")) {
    entry.anomalies.push_back(after("=>"));
  } else if (line.starts_with("strongest")) {
    entry.strongest = after("strongest");
  } else if (line.starts_with("promises")) {
    entry.promises = after("promises");
  } else if (line.starts_with("ok:")) {
    entry.repaired = after("ok:");
  } else {
    entry.history = line;
  }
}

}  // namespace

std::string json_lines_of(const std::string& notation) {
  std::string lines;
  std::set<std::string> begun;
  std::istringstream stream(notation);
  for (std::string word; stream >> word;) {
    const Step step(word);
    if (step.what == "b") begun.insert(step.txn);
    if (step.what != "o" && begun.insert(step.txn).second) {
      lines += Step("b" + step.txn).json() + '\n';
    }
    lines += step.json() + '\n';
  }
  return lines;
}

History history_of(const std::string& notation) {
  auto parsed = parse_history(json_lines_of(notation));
  if (const auto* fault = std::get_if<InputFault>(&parsed)) {
    BOOST_FAIL(notation << ": line " << fault->line << ": " << fault->message);
  }
  return std::move(std::get<History>(parsed));
}

std::vector<Entry> entries() {
  std::vector<Entry> entries;
  std::vector<std::filesystem::path> files;
  const std::filesystem::path directory =
      std::filesystem::path(ISOLDE_SOURCE_DIR) / "tests/lab/histories";
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    if (file.path().extension() == ".txt") files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) {
      if (line.empty()) continue;
      if (line[0] != ' ') {
        entries.push_back({file.filename().string(), line, {}, {}, {}, {}, {}});
      } else {
        read_line(entries.back(), trimmed(line));
      }
    }
  }
  return entries;
}

std::string spelled(const Anomaly& anomaly) {
  std::vector<CycleEdge> cycle = anomaly.cycle;
  std::rotate(cycle.begin(),
              std::min_element(cycle.begin(), cycle.end(),
                               [](const auto& a, const auto& b) { return a.from < b.from; }),
              cycle.end());
  std::string text = std::string(name(anomaly.phenomenon)) + ": ";
  for (const CycleEdge& edge : cycle) {
    text += "T" + std::to_string(edge.from.value) + " -" + std::string(name(edge.kind));
    if (edge.key) {
      text += "(" + spelled_key(*edge.key) +
              (edge.range ? " in " + spelled_range(*edge.range) : "") + ")";
    }
    text += "-> ";
  }
  return text + "T" + std::to_string(cycle.back().to.value);
}

std::string strongest(const Verdict& verdict) {
  if (!verdict.strongest) return "none";
  constexpr const char* names[] = {"ru", "rc", "rr", "ser"};
  return names[static_cast<std::size_t>(*verdict.strongest)];
}

std::string promises(const Verdict& verdict) {
  std::set<std::uint64_t> broken;
  for (const BrokenPromise& promise : verdict.broken_promises) {
    broken.insert(promise.transaction.value);
  }
  if (broken.empty()) return "kept";
  std::string text = "broken";
  for (const std::uint64_t id : broken) text += " T" + std::to_string(id);
  return text;
}

}  // namespace isolde::lab::test
