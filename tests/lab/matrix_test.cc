// The matrix: what the engine does is what the contract says, cell by cell.
#include "lab/explore/matrix.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "lab/script/shipped_scripts.h"
#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

struct Row {
  Phenomenon phenomenon;
  std::string admitted;  // ru rc rr ser: '*' must be reproducible, '-' never
};

// docs/levels.md, "What may happen".
const std::vector<Row>& contract() {
  static const std::vector<Row> rows{
      {Phenomenon::dirty_write, "----"},
      {Phenomenon::aborted_read, "*---"},
      {Phenomenon::intermediate_read, "*---"},
      {Phenomenon::circular_information_flow, "*---"},
      {Phenomenon::observed_transaction_vanishes, "*---"},
      {Phenomenon::fuzzy_read, "**--"},
      {Phenomenon::phantom, "**--"},
      {Phenomenon::predicate_many_preceders, "**--"},
      {Phenomenon::lost_update, "**--"},
      {Phenomenon::cursor_lost_update, "**--"},
      {Phenomenon::read_skew, "**--"},
      {Phenomenon::long_fork, "**--"},
      {Phenomenon::write_skew, "***-"},
      {Phenomenon::predicate_write_skew, "***-"},
      {Phenomenon::read_only_anomaly, "***-"},
      {Phenomenon::stale_read, "----"},
  };
  return rows;
}

std::vector<Cell> all_cells() {
  std::vector<Cell> all;
  for (std::size_t index = 0; index < CellSet::cell_count; ++index) all.push_back(Cell::at(index));
  return all;
}

Matrix played_matrix() {
  auto played = play_matrix(all_cells());
  if (const auto* failure = std::get_if<PlayFailure>(&played)) {
    BOOST_FAIL(failure->error.to_string());
  }
  return std::get<Matrix>(played);
}

BOOST_AUTO_TEST_SUITE(matrix)

BOOST_AUTO_TEST_CASE(the_contract_is_the_table_of_the_levels) {
  BOOST_TEST(contract().size() == all_phenomena.size());
  for (const Row& row : contract()) {
    for (std::size_t level = 0; level < all_levels.size(); ++level) {
      BOOST_TEST_INFO(name(row.phenomenon) << " at " << name(all_levels[level]));
      BOOST_TEST(admits(all_levels[level], row.phenomenon) == (row.admitted[level] == '*'));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_admitted_occurs_and_what_is_forbidden_does_not) {
  const Matrix matrix = played_matrix();
  BOOST_TEST(matrix.cells.size() == all_phenomena.size() * CellSet::cell_count);
  for (const MatrixCell& cell : matrix.cells) {
    BOOST_TEST_INFO(name(cell.phenomenon) << " at " << cell.cell.to_string());
    BOOST_TEST(cell.occurs == admits(cell.cell.level, cell.phenomenon));
    BOOST_TEST(cell.broken_promise == "");
    BOOST_TEST(cell.prevented_by.empty() == cell.occurs);
  }
  BOOST_TEST(matrix.departures().empty());
}

BOOST_AUTO_TEST_CASE(how_it_was_prevented_is_what_the_levels_page_says) {
  const Matrix matrix = played_matrix();
  const auto how = [&](Phenomenon phenomenon, Isolation level, Locking locking) {
    for (const MatrixCell& cell : matrix.cells) {
      if (cell.phenomenon == phenomenon && cell.cell == Cell{level, locking}) {
        return cell.prevented_by;
      }
    }
    return std::string("not played");
  };
  const struct {
    Phenomenon phenomenon;
    Isolation level;
    std::string optimistic;
    std::string pessimistic;
  } table[] = {
      {Phenomenon::dirty_write, Isolation::read_uncommitted, "private_writes", "wait"},
      {Phenomenon::aborted_read, Isolation::read_committed, "committed_reads", "committed_reads"},
      {Phenomenon::lost_update, Isolation::repeatable_read, "write_conflict", "write_conflict"},
      {Phenomenon::lost_update, Isolation::serializable, "serialization_failure", "deadlock"},
      {Phenomenon::write_skew, Isolation::repeatable_read, "", ""},
      {Phenomenon::write_skew, Isolation::serializable, "serialization_failure", "deadlock"},
      {Phenomenon::phantom, Isolation::repeatable_read, "snapshot", "snapshot"},
      {Phenomenon::phantom, Isolation::serializable, "snapshot", "wait"},
  };
  for (const auto& row : table) {
    BOOST_TEST_INFO(name(row.phenomenon) << " at " << name(row.level));
    BOOST_TEST(how(row.phenomenon, row.level, Locking::optimistic) == row.optimistic);
    BOOST_TEST(how(row.phenomenon, row.level, Locking::pessimistic) == row.pessimistic);
  }
}

BOOST_AUTO_TEST_CASE(a_cell_that_departs_is_found_and_told) {
  Matrix matrix = played_matrix();
  for (MatrixCell& cell : matrix.cells) {
    if (cell.phenomenon == Phenomenon::write_skew &&
        cell.cell == Cell{Isolation::serializable, {}}) {
      cell.occurs = true;
    }
    if (cell.phenomenon == Phenomenon::phantom &&
        cell.cell == Cell{Isolation::read_committed, {}}) {
      cell.occurs = false;
      cell.prevented_by = "snapshot";
    }
    if (cell.phenomenon == Phenomenon::stale_read &&
        cell.cell == Cell{Isolation::serializable, {}}) {
      cell.broken_promise = "T1 read what nobody wrote";
    }
  }
  BOOST_TEST(matrix.departures().size() == 3u);
  const std::string text = matrix_text(matrix, false);
  for (const std::string told :
       {"write-skew at serializable optimistic: the contract forbids it, but it occurs",
        "phantom at read-committed optimistic: the contract admits it, but it cannot be shown",
        "T1 read what nobody wrote", "125 cells as the contract says, 3 not"}) {
    BOOST_TEST_INFO(text);
    BOOST_TEST(text.find(told) != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(json_has_the_promised_shape) {
  const auto json = nlohmann::json::parse(matrix_json(played_matrix()));
  BOOST_TEST(json.at("cells").size() == 128u);
  std::set<std::string> phenomena;
  for (const auto& cell : json.at("cells")) {
    phenomena.insert(cell.at("phenomenon"));
    BOOST_TEST(cell.at("prevented_by").is_null() == cell.at("occurs").get<bool>());
    BOOST_TEST(isolation_from_name(cell.at("level").get<std::string>()).has_value());
    BOOST_TEST(locking_from_name(cell.at("locking").get<std::string>()).has_value());
  }
  BOOST_TEST(phenomena.size() == all_phenomena.size());
}

BOOST_AUTO_TEST_CASE(each_phenomenon_has_a_script_that_meets_its_own_expectations) {
  const auto playground = Playground::temporary();
  for (const Phenomenon phenomenon : all_phenomena) {
    const std::string file = std::string(name(phenomenon)) + ".iso";
    const ShippedScript* shipped = nullptr;
    for (const ShippedScript& script : shipped_scripts()) {
      if (script.name == file) shipped = &script;
    }
    BOOST_TEST_INFO(file);
    BOOST_REQUIRE(shipped != nullptr);
    const Script script = test::parsed(std::string(shipped->text), file);
    BOOST_TEST(script.story.size() >= 3u);
    for (const Cell& cell : all_cells()) {
      for (std::size_t schedule = 0; schedule < script.schedules.size(); ++schedule) {
        const auto result = play(script, schedule, cell, *playground);
        const Play& run = std::get<Play>(result);
        // Its verdict is judged in every cell.
        BOOST_TEST_INFO(file << " at " << cell.to_string());
        BOOST_TEST(std::any_of(run.checks.begin(), run.checks.end(),
                               [](const Check& check) { return check.what == "verdict"; }));
        for (const Check& check : run.checks) {
          BOOST_TEST_INFO(file << " at " << cell.to_string() << ", " << check.what << ": expected "
                               << check.expected << ", but " << check.actual);
          BOOST_TEST(check.passed);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
