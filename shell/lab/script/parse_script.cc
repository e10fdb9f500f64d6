#include "lab/script/parse_script.h"

#include <utility>

#include "lab/script/script_parser.h"

namespace isolde::lab {

ParsedScript parse_script(std::string name, std::string text) {
  return ScriptParser(Source(std::move(name), std::move(text))).parse();
}

}  // namespace isolde::lab
