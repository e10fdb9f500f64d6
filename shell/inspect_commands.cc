// isolde stat, verify and backup.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "isolde/database.h"
#include "lab/text/json.h"
#include "lab/text/text.h"
#include "stream.h"

namespace isolde::shell {
namespace {

using lab::Json;

Result<Database> open_for_reading(const std::string& directory) {
  Options options;
  options.create_if_missing = false;
  options.read_only = true;
  return Database::open(directory, options);
}

struct KeyspaceSize {
  std::string name;
  std::uint64_t keys = 0;
  std::uint64_t key_bytes = 0;
  std::uint64_t value_bytes = 0;
};

Result<std::vector<KeyspaceSize>> measure(Database& database) {
  std::vector<KeyspaceSize> sizes;
  auto txn = database.begin({.label = "stat", .read_only = true});
  if (!txn) return txn.error();
  for (const Keyspace& keyspace : database.keyspaces()) {
    KeyspaceSize size{keyspace.name(), 0, 0, 0};
    auto scanned =
        txn->scan(keyspace, KeyRange::all(), [&](std::string_view key, std::string_view value) {
          ++size.keys;
          size.key_bytes += key.size();
          size.value_bytes += value.size();
        });
    if (!scanned) return scanned.error();
    sizes.push_back(std::move(size));
  }
  return sizes;
}

Json stat_json(const Database& database, const std::vector<KeyspaceSize>& sizes) {
  const Stats stats = database.stats();
  Json keyspaces = Json::array();
  for (const KeyspaceSize& size : sizes) {
    keyspaces.push_back(Json{{"name", lab::bytes_json(size.name)},
                             {"keys", size.keys},
                             {"key_bytes", size.key_bytes},
                             {"value_bytes", size.value_bytes}});
  }
  return Json{{"directory", lab::printable(database.directory().string())},
              {"keyspaces", std::move(keyspaces)},
              {"visible", stats.visible.value},
              {"durable", stats.durable.value},
              {"checkpoint", stats.checkpoint.value},
              {"base_file_bytes", stats.base_file_bytes},
              {"log_file_bytes", stats.log_file_bytes},
              {"log_live_bytes", stats.log_live_bytes},
              {"keys_in_memory", stats.chains},
              {"version_bytes", stats.version_bytes}};
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < 10'000'000) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1024 / 1024);
}

std::string stat_text(const Database& database, const std::vector<KeyspaceSize>& sizes) {
  const Stats stats = database.stats();
  std::size_t width = 8;
  for (const KeyspaceSize& size : sizes) {
    width = std::max(width, lab::display_width(lab::spelled_short(size.name)));
  }
  std::string text = fmt::format("database    {}\n", lab::printable(database.directory().string()));
  text += fmt::format("commits     {} in all, of which {} are in the LMDB base\n",
                      stats.visible.value, stats.checkpoint.value);
  text += fmt::format("base        {}\n", bytes_text(stats.base_file_bytes));
  text += fmt::format("log         {}, of which {} are not in the base\n",
                      bytes_text(stats.log_file_bytes), bytes_text(stats.log_live_bytes));
  text += fmt::format("\n{}  {:>12}  {:>12}  {:>12}\n", lab::padded("keyspace", width), "keys",
                      "key bytes", "value bytes");
  for (const KeyspaceSize& size : sizes) {
    text += fmt::format("{}  {:>12}  {:>12}  {:>12}\n",
                        lab::padded(lab::spelled_short(size.name), width), size.keys,
                        size.key_bytes, size.value_bytes);
  }
  return text;
}

int stat(const std::string& directory, bool json) {
  die_on_interrupt();
  auto database = open_for_reading(directory);
  if (!database) return report_open(database.error(), directory);
  auto sizes = measure(*database);
  if (!sizes) return report(sizes.error(), fmt::format("reading {}", directory));
  print(json ? stat_json(*database, *sizes).dump() + '\n' : stat_text(*database, *sizes));
  return exit_ok;
}

int verify(const std::string& directory) {
  die_on_interrupt();
  auto database = open_for_reading(directory);
  if (!database) return report_open(database.error(), directory);
  auto verified = database->verify();
  if (!verified) {
    complain(fmt::format("{} is damaged: {}", directory, verified.error().to_string()));
    return exit_database;
  }
  print(
      fmt::format("{} is sound: {} keyspaces, {} keys, {}; {} commits in {} log records beyond "
                  "the base\n",
                  directory, verified->keyspaces, verified->keys, bytes_text(verified->bytes),
                  verified->log_commits, verified->log_records));
  return exit_ok;
}

int backup(const std::string& directory, const std::string& destination) {
  die_on_interrupt();
  Options options;
  options.create_if_missing = false;
  auto database = Database::open(directory, options);
  if (!database) return report_open(database.error(), directory);
  auto copied = database->backup(destination);
  if (!copied) {
    const int code = report(copied.error(), fmt::format("backing up to {}", destination));
    // The destination's trouble, not the database's.
    return copied.error().code() == ErrorCode::permission_denied ? exit_failed : code;
  }
  print(fmt::format("backed up {} to {}\n", directory, destination));
  return exit_ok;
}

}  // namespace

void add_stat_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("stat", "Show keyspaces and sizes");
  auto directory = std::make_shared<std::string>();
  auto format = std::make_shared<std::string>("text");
  command->add_option("DIR", *directory, "The database")->required();
  command->add_option("--format", *format, "text (default) or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->footer("Example: isolde stat bank.db");
  command->callback([directory, format, &invocation] {
    invocation.run = [directory, format] { return stat(*directory, *format == "json"); };
  });
}

void add_verify_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("verify", "Read everything and check it");
  auto directory = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "The database")->required();
  command->footer("Example: isolde verify bank.db");
  command->callback(
      [directory, &invocation] { invocation.run = [directory] { return verify(*directory); }; });
}

void add_backup_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("backup", "Copy the database, as of one moment, to a new directory");
  auto directory = std::make_shared<std::string>();
  auto destination = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "The database")->required();
  command->add_option("DEST", *destination, "A directory that does not exist, or is empty")
      ->required();
  command->footer("Example: isolde backup bank.db bank-2026-11.db");
  command->callback([directory, destination, &invocation] {
    invocation.run = [directory, destination] { return backup(*directory, *destination); };
  });
}

}  // namespace isolde::shell
