#define BOOST_TEST_MODULE isolde_shell
#include <boost/test/unit_test.hpp>
