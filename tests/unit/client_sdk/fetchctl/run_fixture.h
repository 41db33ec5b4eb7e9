#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "fake_fetch_service.h"
#include "fetchctl/fetchctl.h"
#include "gtest/gtest.h"

namespace fetchd::fetchctl {

// Runs whole command lines against a fake fetchd.
class RunTest : public testing::Test {
 protected:
  RunTest() : dir_(std::filesystem::path(testing::TempDir()) / ("fetchctl_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(dir_);
  }
  ~RunTest() override { std::filesystem::remove_all(dir_); }

  // The exit code; output is in out() and err() then.
  int Fetchctl(const std::vector<std::string>& words, std::string in = "", bool terminal = false) {
    std::istringstream input(std::move(in));
    out_.str("");
    err_.str("");
    Terminal io{input, out_, err_, terminal};
    return fetchctl::Run(words, {.target = server_.address()}, io, stop_.get_token());
  }

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }
  std::string PathOf(const std::string& name) const { return (dir_ / name).string(); }
  std::string WriteFile(const std::string& name, const std::string& content) const {
    std::ofstream(dir_ / name, std::ios::binary) << content;
    return PathOf(name);
  }
  std::string ReadFile(const std::string& name) const {
    std::ifstream file(dir_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  FakeServer server_;
  FakeFetchService& service_ = server_.service;
  std::stop_source stop_;

 private:
  const std::filesystem::path dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

}  // namespace fetchd::fetchctl
