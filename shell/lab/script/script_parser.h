// The parser of scripts, line by line. Internal to parse_script(); what needs the whole script is
// in script_checks.cc.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/script/script.h"
#include "lab/script/token.h"

namespace isolde::lab {

class ScriptParser {
 public:
  explicit ScriptParser(Source source);

  ParsedScript parse() &&;

 private:
  enum class Block : std::uint8_t { none, setup, session, schedule };
  using Reader = void (ScriptParser::*)(TokenStream&);
  struct Directive {
    std::string_view word;
    Reader read;
  };
  struct NamedPlace {
    std::string name;
    Place place;
  };

  static const std::array<Directive, 8>& directives();
  static const Directive* find_directive(std::string_view word);

  void read_story();
  void read_line(std::string_view line);
  bool read_step(std::string_view line, std::size_t indent);
  void read_step_body(std::string name, Place place, TokenStream& tokens);
  void read_step_expectation(TokenStream& tokens);
  void read_block_line(TokenStream& tokens);
  void read_schedule_steps(TokenStream& tokens);

  void read_setup(TokenStream& tokens);
  void read_setup_commands(TokenStream& tokens);
  void read_session(TokenStream& tokens);
  void read_schedule(TokenStream& tokens);
  void read_final(TokenStream& tokens);
  void read_final_items(TokenStream& tokens, FinalExpectation& final);
  void read_invariant(TokenStream& tokens);
  void read_outcomes(TokenStream& tokens);
  void read_verdict(TokenStream& tokens);
  void read_explore(TokenStream& tokens);
  // `NAME=N`, for outcomes and explore; `known` says which names there are.
  using Counts = std::map<std::string, std::size_t>;
  static void read_count(TokenStream& tokens, Counts& counts,
                         std::optional<std::string> (*canonical)(const Token&, TokenStream&));

  // The expectations that a line now belongs to: the last schedule's, or all schedules'.
  Expectations& scope();
  void finish_line(const TokenStream& tokens);
  void fail(const Place& place, std::string message);

  void check();
  void check_step_uses();
  void check_sessions();
  void resolve_schedules();
  void check_finals();
  void check_outcomes();
  void check_verdicts();
  void check_explorations();
  std::vector<std::string_view> step_names() const;

  Script script_;
  std::vector<ScriptError> errors_;
  Block block_ = Block::none;
  bool has_setup_ = false;
  std::size_t line_number_ = 0;
  std::map<std::string, std::size_t, std::less<>> steps_by_name_;
  std::vector<std::vector<NamedPlace>> schedule_steps_;  // by schedule, not yet resolved
  std::vector<TokenStream::StepUse> step_uses_;
  std::vector<TokenStream::SessionUse> session_uses_;
};

}  // namespace isolde::lab
