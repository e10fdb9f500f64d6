// Trials: a draft is played, and what went wrong that must not go wrong is named.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/play/play.h"
#include "lab/play/playground.h"
#include "lab/script/phenomenon.h"
#include "lab/stress/draft.h"

namespace isolde::lab {

// What went wrong.
struct Finding {
  enum class Kind : std::uint8_t {
    promise,   // a transaction did not get what its own level promises
    deadlock,  // sessions wait for each other, and the engine has not seen it
    error,     // an error that nothing in the play explains
    anomaly,   // an anomaly, whether or not the levels admit it
  };
  Kind kind = Kind::promise;
  // What makes two findings the same: of a promise the level and the shape of what broke it, of an
  // error the code, of an anomaly its name.
  std::string name;
  std::string text;  // told in a sentence or two

  bool is_like(const Finding& other) const { return kind == other.kind && name == other.name; }
  // The line of a script that expects it not to happen, or, of an anomaly, to happen.
  std::string expectation() const;
};

// Of a broken promise.
std::string finding_name(const Verdict& verdict, const BrokenPromise& broken);

// Whatever broke, each kind once: promises first. `with_anomalies`: those that levels admit as
// well.
std::vector<Finding> findings(const Verdict& verdict, bool with_anomalies);

// Plays drafts, each in a fresh temporary database. Not thread-safe.
class Trial {
 public:
  explicit Trial(bool with_anomalies = false);

  std::vector<Finding> play(const Draft& draft);
  bool shows(const Draft& draft, const Finding& finding);
  std::size_t plays() const noexcept { return plays_; }
  // Of all plays: how transactions ended, "ok", "write_conflict", ...
  const std::map<std::string, std::size_t>& endings() const noexcept { return endings_; }

 private:
  std::unique_ptr<Playground> playground_ = Playground::temporary();
  bool with_anomalies_;
  std::size_t plays_ = 0;
  std::map<std::string, std::size_t> endings_;
};

}  // namespace isolde::lab
