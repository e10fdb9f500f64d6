#define BOOST_TEST_MODULE isolde_lab
#include <boost/test/unit_test.hpp>
