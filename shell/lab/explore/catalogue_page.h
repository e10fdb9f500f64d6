// docs/anomalies.md: the catalogue as a page, played as it is written.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lab/play/play.h"
#include "lab/script/catalogue.h"

namespace isolde::lab {

// Plays every schedule of the entries in every cell. The same entries give the same page.
std::variant<std::string, PlayFailure> catalogue_page(const std::vector<CatalogueEntry>& entries,
                                                      const std::function<bool()>& stop = {});

// What came of a play, in a few words: the anomalies (in `mark`s), the sessions that waited and
// failed, as in "lost-update", "B waits; B: deadlock"; else "serializable".
std::string summary(const Play& play, std::string_view mark = {});

}  // namespace isolde::lab
