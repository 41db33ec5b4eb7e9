// paged_items TARGET URL ITEMS_POINTER [RESUME_TOKEN_FILE]: the items of a list whose pages are linked by Link headers,
// one JSON value after the other. When the list breaks off, the token to continue with goes into the file.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "fetchd/client.h"
#include "fetchd/status_details.h"

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: paged_items TARGET URL ITEMS_POINTER [RESUME_TOKEN_FILE]\n";
    return 2;
  }
  const fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "sample"}));
  fetchd::v1::FetchPagedRequest request;
  request.mutable_request()->set_url(argv[2]);
  request.mutable_link_header();
  request.set_items(argv[3]);
  if (argc == 5) {
    std::ifstream file(argv[4], std::ios::binary);
    request.set_resume_token(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  fetchd::ItemRange items = client.Items(request);
  for (const absl::StatusOr<std::string>& item : items) {
    if (!item.ok()) {
      std::cerr << fetchd::Describe(item.status()) << "\n";
      break;
    }
    std::cout << *item << "\n";
  }
  if (argc == 5) std::ofstream(argv[4], std::ios::binary) << items.resume_token();
  if (!items.end_of_list().has_value()) return 1;
  if (items.end_of_list()->has_error()) {
    std::cerr << items.end_of_list()->error().message() << "\n";
    return 1;
  }
  std::cerr << items.end_of_list()->items() << " items on " << items.end_of_list()->pages() << " pages\n";
  return 0;
}
