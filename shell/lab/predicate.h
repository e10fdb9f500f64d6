// Predicates over what a schedule left behind: invariants, and when an anomaly has happened.
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
#include "lab/command.h"
#include "lab/operand.h"

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

struct Facts {
  const State& state;
  const Bindings& bindings;
  const std::map<std::string, std::vector<Ending>>& endings;  // by session, in order
};

class Predicate;

// The parts of a predicate's tree; only Predicate makes and reads them.
namespace predicate {

struct Subject {
  enum class What : std::uint8_t { key, sum, count, reference };
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

struct SessionTest {
  std::string session;
  bool committed = true;
};

struct Group {
  enum class How : std::uint8_t { all, any, none };
  How how = How::all;
  std::vector<Predicate> parts;
};

}  // namespace predicate

// EXPR: TERM { and TERM } { or ... } with not and parentheses; TERM: SUBJECT OP VALUE, or SESSION
// committed | aborted. SUBJECT: a key, sum RANGE, count RANGE (each after an optional `in
// KEYSPACE`), or a reference.
class Predicate {
 public:
  enum class Scope : std::uint8_t { state, run };  // run: references and sessions are allowed

  static Predicate parse(TokenStream& tokens, Scope scope);

  // Errors: invalid_argument (a sum over something that is no integer, a reference without value).
  Result<bool> holds(const Facts& facts) const;
  // The sessions that it asks about.
  void collect_sessions(std::vector<std::string>& sessions) const;

 private:
  using Subject = predicate::Subject;
  using Test = predicate::Test;
  using SessionTest = predicate::SessionTest;
  using Group = predicate::Group;

  static Predicate parse_any(TokenStream& tokens, Scope scope, int depth);
  static Predicate parse_all(TokenStream& tokens, Scope scope, int depth);
  static Predicate parse_term(TokenStream& tokens, Scope scope, int depth);
  static Subject parse_subject(TokenStream& tokens, Scope scope);
  static Result<std::optional<std::string>> value_of(const Subject& subject, const Facts& facts);
  static Result<bool> holds(const Test& test, const Facts& facts);
  static bool holds(const SessionTest& test, const Facts& facts);
  static Result<bool> holds(const Group& group, const Facts& facts);

  std::variant<Test, SessionTest, Group> node_;
};

}  // namespace isolde::lab
