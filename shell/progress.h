// Where the command tells how far it is: on standard error.
#pragma once

#include "lab/text/progress.h"

namespace isolde::shell {

lab::Progress::Target progress_target();

}  // namespace isolde::shell
