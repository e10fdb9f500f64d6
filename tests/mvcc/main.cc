#define BOOST_TEST_MODULE isolde_mvcc
#include <boost/test/unit_test.hpp>
