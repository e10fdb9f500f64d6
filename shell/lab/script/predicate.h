// Predicates over the state that a schedule left behind: invariants.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "isolde/error.h"
#include "isolde/keyspace.h"
#include "lab/script/command.h"
#include "lab/script/operand.h"

namespace isolde::lab {

// The committed state, by keyspace (as the script names it) and key.
using State = std::map<std::pair<std::string, std::string>, std::string>;

// How a transaction of a session ended.
struct Ending {
  enum class Kind : std::uint8_t { committed, rolled_back, aborted, unfinished };
  Kind kind = Kind::unfinished;
  std::optional<ErrorCode> code;  // aborted
  // As `outcomes` names it: ok, rollback, the error code, unfinished.
  std::string to_string() const;
};

class Predicate;

// The parts of a predicate's tree; only Predicate makes and reads them.
namespace predicate {

struct Subject {
  enum class What : std::uint8_t { key, sum, count };
  What what = What::key;
  std::string keyspace{default_keyspace_name};
  Operand operand;
  RangeOperand range;
};

struct Test {
  Subject subject;
  Comparison comparison = Comparison::eq;
  std::optional<Operand> right;  // nothing: absent
};

struct Group {
  enum class How : std::uint8_t { all, any, none };
  How how = How::all;
  std::vector<Predicate> parts;
};

}  // namespace predicate

// EXPR: TERM { and TERM } { or ... } with not and parentheses; TERM: SUBJECT OP VALUE. SUBJECT: a
// key, sum RANGE or count RANGE, each after an optional `in KEYSPACE`.
class Predicate {
 public:
  static Predicate parse(TokenStream& tokens);

  // Errors: invalid_argument (a sum over something that is no integer).
  Result<bool> holds(const State& state) const;

 private:
  using Subject = predicate::Subject;
  using Test = predicate::Test;
  using Group = predicate::Group;

  static Predicate parse_any(TokenStream& tokens, int depth);
  static Predicate parse_all(TokenStream& tokens, int depth);
  static Predicate parse_term(TokenStream& tokens, int depth);
  static Subject parse_subject(TokenStream& tokens);
  static Result<std::optional<std::string>> value_of(const Subject& subject, const State& state);
  static Result<bool> holds(const Test& test, const State& state);
  static Result<bool> holds(const Group& group, const State& state);

  std::variant<Test, Group> node_;
};

}  // namespace isolde::lab
