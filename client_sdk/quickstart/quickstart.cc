// quickstart TARGET URL: fetches URL through the fetchd at TARGET and prints status and size.
#include <iostream>

#include "fetchd/client.h"
#include "fetchd/status_details.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: quickstart TARGET URL, such as: quickstart 127.0.0.1:50051 https://example.com/\n";
    return 2;
  }
  fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "quickstart"}));
  absl::StatusOr<fetchd::v1::FetchResponse> reply = client.Get(argv[2]);
  if (!reply.ok()) {
    std::cerr << "fetchd has no verdict: " << fetchd::Describe(reply.status()) << "\n";
    return 1;
  }
  if (reply->has_error()) {
    std::cerr << fetchd::v1::ErrorCode_Name(reply->error().code()) << ": " << reply->error().message() << "\n";
    return 1;
  }
  std::cout << "HTTP " << reply->response().status() << ", " << reply->response().body().size() << " bytes\n";
  return 0;
}
