#include "model/status_set.h"

#include <gtest/gtest.h>

namespace fetchd::server {
namespace {

TEST(StatusSet, HasWhatWasAddedAndNothingElse) {
  StatusSet set = {400, 429, 463, 464, 503, 599};
  for (int status = -1000; status < 2000; ++status) {
    const bool in = status == 400 || status == 429 || status == 463 || status == 464 || status == 503 || status == 599;
    EXPECT_EQ(set.Has(status), in) << status;
  }
}

TEST(StatusSet, LeavesOutWhatIsNoErrorStatus) {
  StatusSet set;
  for (int status : {0, -1, 200, 399, 600, 1000}) set.Add(status);
  EXPECT_TRUE(set.empty());
  set.Add(400);
  EXPECT_FALSE(set.empty());
  EXPECT_EQ(set, StatusSet{400});
}

}  // namespace
}  // namespace fetchd::server
