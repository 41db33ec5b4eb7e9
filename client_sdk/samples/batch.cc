// batch TARGET URL...: many fetches, each printed as soon as it is there.
#include <iostream>

#include "fetchd/client.h"
#include "fetchd/status_details.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: batch TARGET URL...\n";
    return 2;
  }
  const fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "sample"}));

  fetchd::v1::FetchBatchRequest request;
  for (int i = 2; i < argc; ++i) request.add_requests()->set_url(argv[i]);
  request.set_max_concurrency(20);

  for (const absl::StatusOr<fetchd::v1::BatchResult>& result : client.Batch(request)) {
    if (!result.ok()) {
      std::cerr << fetchd::Describe(result.status()) << "\n";
      return 1;
    }
    std::cout << argv[2 + result->index()] << ": ";
    if (result->fetch().has_response()) {
      std::cout << "HTTP " << result->fetch().response().status() << "\n";
    } else {
      std::cout << result->fetch().error().message() << "\n";
    }
  }
  return 0;
}
