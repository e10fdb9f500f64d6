// For a check that can't be made on this machine: `./dev test` counts and names it in its last
// lines.
#pragma once

#include <boost/test/framework.hpp>
#include <iostream>
#include <string_view>

namespace isolde::test {

inline void skipped(std::string_view reason) {
  std::cout << "skipped: " << boost::unit_test::framework::current_test_case().full_name() << ": "
            << reason << std::endl;
}

}  // namespace isolde::test
