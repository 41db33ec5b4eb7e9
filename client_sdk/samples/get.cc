// get TARGET URL: one fetch; prints the response.
#include <iostream>

#include "fetchd/client.h"
#include "fetchd/status_details.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: get TARGET URL\n";
    return 2;
  }
  const fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "sample"}));

  fetchd::v1::FetchRequest request;
  request.set_url(argv[2]);
  fetchd::v1::Header& accept = *request.add_headers();
  accept.set_name("accept");
  accept.set_value("*/*");
  request.mutable_timeouts()->mutable_total()->set_seconds(20);

  const absl::StatusOr<fetchd::v1::FetchResponse> reply = client.Fetch(request);
  if (!reply.ok()) {
    std::cerr << fetchd::Describe(reply.status()) << "\n";
    return 1;
  }
  if (reply->has_error()) {
    std::cerr << reply->error().message() << "\n";
    return 1;
  }
  std::cout << "HTTP " << reply->response().status() << "\n";
  for (const fetchd::v1::Header& header : reply->response().headers()) {
    std::cout << header.name() << ": " << header.value() << "\n";
  }
  std::cout << "\n" << reply->response().body();
  return 0;
}
