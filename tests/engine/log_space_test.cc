// What is reserved can be placed, in whatever order it comes (LogSpace's invariants).

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <random>
#include <vector>

#include "engine/log/log_segment.h"
#include "tests/support/seed.h"

namespace isolde::engine {
namespace {

LogSegment segment_of(std::uint64_t number, std::uint64_t bytes) {
  LogSegment segment;
  segment.number = number;
  segment.bytes = bytes;
  return segment;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(log_space)

BOOST_AUTO_TEST_CASE(names_of_segments_are_told_from_others) {
  BOOST_TEST(segment_name(1) == "00000001.log");
  BOOST_TEST(segment_name(1234567890) == "1234567890.log");
  BOOST_TEST(segment_number("00000042.log").value() == 42);
  BOOST_TEST(segment_number("1234567890.log").value() == 1234567890);
  for (const char* other : {"", ".log", "1.log", "00000000.log", "00000001.tmp", "0000000a.log",
                            "-0000001.log", "99999999999999999999999.log"}) {
    BOOST_TEST(!segment_number(other).has_value(), other);
  }
}

// Twice what is reserved must be there: each placed entry may waste as much as it takes.
BOOST_AUTO_TEST_CASE(space_is_granted_up_to_half_of_what_is_there) {
  const std::uint64_t bytes = least_segment_bytes;
  LogSpace space(bytes, bytes - first_record_offset);
  const std::uint64_t need = alone_bytes(100);
  std::uint64_t granted = 0;
  while (space.try_reserve(need)) ++granted;
  BOOST_TEST(granted == (bytes - first_record_offset) / 2 / need);
  space.add_spare(segment_of(1, bytes));
  while (space.try_reserve(need)) ++granted;
  BOOST_TEST(granted == (bytes - first_record_offset) / need);
  space.unreserve(need);
  BOOST_TEST(space.try_reserve(need));
}

BOOST_AUTO_TEST_CASE(a_large_entry_needs_a_segment_of_its_own) {
  const std::uint64_t bytes = least_segment_bytes;
  LogSpace space(bytes, bytes - first_record_offset);
  const std::uint64_t need = alone_bytes(100000);
  BOOST_TEST(space.is_large(need));
  BOOST_TEST(!space.try_reserve(need));
  space.add_spare(segment_of(1, bytes));
  BOOST_TEST(!space.try_reserve(need));
  space.add_spare(segment_of(2, space.segment_bytes_for(need)));
  BOOST_TEST(space.try_reserve(need));
  BOOST_TEST(!space.try_reserve(need));
  BOOST_TEST(space.take_spare(need).number == 2);
  BOOST_TEST(space.take_spare(512).number == 1);
}

BOOST_AUTO_TEST_CASE(surplus_is_what_no_reservation_needs) {
  const std::uint64_t bytes = least_segment_bytes;
  LogSpace space(bytes, 0);
  for (std::uint64_t number = 1; number <= 4; ++number) space.add_spare(segment_of(number, bytes));
  BOOST_REQUIRE(space.try_reserve((bytes - first_record_offset) * 3 / 4));
  BOOST_TEST(space.take_surplus(3, 4)->number != 4);
  BOOST_TEST(!space.take_surplus(3, 4).has_value());
  BOOST_TEST(space.take_surplus(0, 4).has_value());
  BOOST_TEST(!space.take_surplus(0, 4).has_value());  // two are needed for the reservation
}

// The writer's greedy placement, as a game: reservations of all sizes are made, given back, and
// placed in any order; a placement must always find its segment.
BOOST_AUTO_TEST_CASE(whatever_is_reserved_finds_its_place) {
  std::mt19937_64 random(test::seed());
  for (std::size_t round = 0; round < 200 * test::scale(); ++round) {
    const std::uint64_t bytes = least_segment_bytes << random() % 3;
    LogSegment active = segment_of(1, bytes);
    active.end = first_record_offset + padded(random() % active.capacity()) / 512 * 512;
    active.end = std::min(active.end, active.bytes);
    LogSpace space(bytes, active.remainder());
    std::vector<std::uint64_t> reserved;
    std::uint64_t next_number = 2;
    for (int step = 0; step < 400; ++step) {
      if (random() % 2 == 0 || reserved.empty()) {
        const std::uint64_t most = random() % 4 == 0 ? 3 * bytes : bytes / (1 + random() % 16);
        const std::uint64_t need = alone_bytes(random() % most);
        while (!space.try_reserve(need)) {
          space.add_spare(segment_of(next_number++, space.segment_bytes_for(need)));
        }
        reserved.push_back(need);
        continue;
      }
      const auto picked =
          reserved.begin() + static_cast<std::ptrdiff_t>(random() % reserved.size());
      const std::uint64_t need = *picked;
      reserved.erase(picked);
      if (random() % 8 == 0) {
        space.unreserve(need);
        if (random() % 2 == 0) static_cast<void>(space.take_surplus(random() % 3, 0));
        continue;
      }
      const bool large = space.is_large(need);
      if (large || active.remainder() < need) {
        BOOST_REQUIRE(space.spares() > 0);
        active = space.take_spare(need);
      }
      BOOST_REQUIRE(active.remainder() >= need);
      active.end += need;
      space.placed(large ? 0 : need, active.remainder());
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
