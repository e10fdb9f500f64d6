#define BOOST_TEST_MODULE isolde_bench
#include <boost/test/unit_test.hpp>
