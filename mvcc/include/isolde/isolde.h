// Isolde: an embedded transactional key-value store with every isolation level, side by side.
#pragma once

#include "isolde/database.h"
#include "isolde/error.h"
#include "isolde/keyspace.h"
#include "isolde/locks.h"
#include "isolde/observer.h"
#include "isolde/options.h"
#include "isolde/range.h"
#include "isolde/result.h"
#include "isolde/stats.h"
#include "isolde/transaction.h"
#include "isolde/types.h"
