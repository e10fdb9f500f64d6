#define BOOST_TEST_MODULE isolde_engine
#include <boost/test/unit_test.hpp>
