// Readers renew and look, while checkpoints write, keyspaces come and go, and verify walks.
#include <atomic>
#include <thread>

#include "tests/engine/base_fixture.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

namespace {

constexpr int key_count = 50;
// Every keyspace id i >= 2 exists in checkpoints i .. i + lives - 1.
constexpr std::uint32_t lives = 2;

std::string key_of(int number) { return "key" + std::to_string(100 + number); }

// What checkpoint `at` writes: all keys of "default" to `at`; a keyspace `at` full of `at` with one
// of three names, and the one of `lives` checkpoints ago goes.
Changes checkpoint(std::uint32_t at) {
  const auto name = [](std::uint32_t id) { return "name " + std::to_string(id % 3); };
  Changes changes;
  if (at >= 2 + lives) changes.drop(KeyspaceId{at - lives}, name(at - lives));
  if (at >= 2) changes.create(KeyspaceId{at}, name(at));
  for (int key = 0; key < key_count; ++key) {
    changes.put(default_id, key_of(key), std::to_string(at));
  }
  if (at >= 2) {
    for (int key = 0; key < key_count; ++key) {
      changes.put(KeyspaceId{at}, key_of(key), std::to_string(at));
    }
  }
  return changes;
}

// A view's whole state must be that of one checkpoint. The complaint, or nothing.
std::string inconsistency(BaseView& view, std::mt19937_64& random) {
  const BaseLookup first = view.get(default_id, key_of(0));
  if (first.status == BaseLookup::Status::absent) return {};
  const std::string at(first.value);
  const BaseLookup other = view.get(default_id, key_of(static_cast<int>(random() % key_count)));
  if (other.value != at) return "keys of one state differ";
  const auto now = static_cast<std::uint32_t>(std::stoul(at));
  for (std::uint32_t id = now > 6 ? now - 4 : 2; id <= now + 2; ++id) {  // 1 is "default"
    const bool expected = id >= 2 && id <= now && id + lives > now;
    const BaseLookup lookup = view.get(KeyspaceId{id}, key_of(7));
    if (lookup.status == BaseLookup::Status::failed) return "a lookup failed";
    if ((lookup.status == BaseLookup::Status::found) != expected) {
      return "keyspace " + std::to_string(id) + " at " + at + ": wrong existence";
    }
    if (expected && lookup.value != std::to_string(id)) return "another keyspace's data";
    BaseCursor cursor;
    if (!cursor.bind(view, KeyspaceId{id})) return "bind failed";
    int count = 0;
    for (auto p = cursor.seek(""); p.status == BaseLookup::Status::found; p = cursor.next()) {
      ++count;
    }
    if (count != (expected ? key_count : 0)) return "wrong count in keyspace";
  }
  return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stress_base)

BOOST_AUTO_TEST_CASE(every_view_shows_one_checkpoint_whole) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  const std::uint64_t seed = seed_for("every_view_shows_one_checkpoint_whole");
  std::atomic<bool> stop{false};
  std::vector<std::string> complaints(3);
  std::vector<std::atomic<std::uint64_t>> renewals(3);
  std::vector<std::thread> readers;
  for (std::size_t reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937_64 random(seed + reader);
      BaseView view;
      BaseVersion last;
      while (!stop.load(std::memory_order_relaxed) && complaints[reader].empty()) {
        if (random() % 16 == 0) view.close();
        if (random() % 4 == 0) view.reset();
        const BaseVersion before = base->version();
        const Result<void> renewed = view.renew(*base);
        ++renewals[reader];
        renewals[reader].notify_one();
        if (!renewed) {
          complaints[reader] = renewed.error().to_string();
          break;
        }
        if (view.version() < before || view.version() < last) complaints[reader] = "went back";
        last = view.version();
        for (int look = 0; look < 3 && complaints[reader].empty(); ++look) {
          complaints[reader] = inconsistency(view, random);
        }
      }
    });
  }
  for (std::size_t reader = 0; reader < 3; ++reader) renewals[reader].wait(0);
  std::string failure;
  const std::uint32_t checkpoints = 400 * static_cast<std::uint32_t>(test_scale());
  for (std::uint32_t at = 1; at <= checkpoints && failure.empty(); ++at) {
    Changes changes = checkpoint(at);
    const Result<ApplyOutcome> outcome = base->apply(Timestamp{at}, changes);
    if (!outcome) failure = outcome.error().to_string();
    if (at % 50 == 0) {
      const Result<BaseSummary> summary = base->verify();
      if (!summary) failure = summary.error().to_string();
    }
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  BOOST_TEST(failure == "");
  for (std::size_t reader = 0; reader < 3; ++reader) {
    BOOST_TEST(complaints[reader] == "");
    BOOST_TEST(renewals[reader] > 0u);
  }
}

BOOST_AUTO_TEST_CASE(verify_and_copies_go_on_beside_checkpoints) {
  TempDirectory directory;
  auto base = open_base(directory / "db");
  std::atomic<bool> stop{false};
  std::string complaint;
  int rounds = 0;
  std::thread inspector([&] {
    while (complaint.empty() && (!stop.load(std::memory_order_relaxed) || rounds == 0)) {
      const Result<BaseSummary> summary = base->verify();
      if (!summary) complaint = summary.error().to_string();
      const std::filesystem::path copy = directory / ("copy" + std::to_string(rounds++));
      std::filesystem::create_directory(copy);
      const Result<Timestamp> at = base->copy_to(copy);
      if (!at) complaint = at.error().to_string();
      std::filesystem::remove_all(copy);
    }
  });
  std::string failure;
  for (std::uint32_t at = 1; at <= 300 && failure.empty(); ++at) {
    Changes changes = checkpoint(at);
    const Result<ApplyOutcome> outcome = base->apply(Timestamp{at}, changes);
    if (!outcome) failure = outcome.error().to_string();
  }
  stop.store(true);
  inspector.join();
  BOOST_TEST(failure == "");
  BOOST_TEST(complaint == "");
  BOOST_TEST(rounds > 0);
}

BOOST_AUTO_TEST_SUITE_END()
