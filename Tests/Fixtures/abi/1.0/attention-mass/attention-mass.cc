// attention-mass: where chosen rows look. Sums each head's attention pattern over the image, the prefix, the row itself
// and the rest; the four sum to 1. Imperative: it is called with the patterns, one block of keys after the other.
#include "ablate_plugin.h"

#include <array>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

enum Part { image, prefix, itself, rest, parts };
constexpr const char *names[] = {"image", "prefix", "self", "rest"};

template <class T> const T *next(const T *element) { // by the writer's struct_size
  return reinterpret_cast<const T *>(reinterpret_cast<const char *>(element) + element->struct_size);
}

struct Lane {
  std::vector<Part> part_of_key; // by row of the prompt; generated rows belong to the rest
  std::map<std::array<int64_t, 3>, std::array<double, parts>> mass; // by layer, row, head
};

struct Mass {
  const ablate_host *host; // lives as long as the instance
  std::string layers, tokens;
  ablate_access access;
  std::map<uint32_t, Lane> lanes;
};

Mass &mass(void *self) { return *static_cast<Mass *>(self); }

/// Nothing may unwind across the border: an exception becomes a status.
template <class Body> ablate_status guarded(Body body) {
  try { return body(); } catch (...) { return ABLATE_E_MEMORY; }
}

void *create(const ablate_host *host, const ablate_model *model, const ablate_value *value, uint64_t n,
             ablate_error *error) {
  Mass *self = nullptr;
  error->code = guarded([&] {
    self = new Mass{host, "", "", {}, {}};
    for (; n; n--, value = next(value)) (std::strcmp(value->id, "tokens") ? self->layers : self->tokens) = value->s;
    ablate_access &access = self->access;
    access.struct_size = sizeof access, access.access = ABLATE_READ, access.tower = "text", access.site = "pattern";
    access.layers = self->layers.c_str(), access.tokens = self->tokens.c_str();
    return ABLATE_OK;
  });
  return self;
}

ablate_status plan(void *self, const ablate_item *, ablate_plan *out, ablate_error *) {
  out->accesses = &mass(self).access, out->n_accesses = 1;
  return ABLATE_OK;
}

ablate_status begin_lane(void *self, uint32_t lane, const ablate_item *item, ablate_error *) {
  return guarded([&] {
    std::vector<Part> part(item->n_tokens, rest);
    const ablate_segment *segment = item->segments;
    for (uint64_t s = 0; s < item->n_segments; s++, segment = next(segment))
      for (int r = segment->first; r < segment->first + segment->count && r < int(part.size()); r++) {
        if (segment->kind == ABLATE_SEGMENT_IMAGE) part[r] = image;
        if (segment->kind == ABLATE_SEGMENT_PREFIX) part[r] = prefix;
      }
    mass(self).lanes[lane] = Lane{part, {}};
    return ABLATE_OK;
  });
}

ablate_status on_event(void *self, const ablate_event *event, ablate_error *) {
  return guarded([&] {
    const ablate_slice *slice = event->slices;
    for (uint64_t s = 0; s < event->n_slices; s++, slice = next(slice)) {
      Lane &lane = mass(self).lanes[slice->lane];
      auto bytes = static_cast<const char *>(slice->view->data) + slice->view->byte_offset;
      auto pattern = reinterpret_cast<const float *>(bytes); // [heads, rows, keys], dense
      for (uint64_t h = 0; h < slice->n_heads; h++)
        for (uint64_t r = 0; r < slice->n_rows; r++) {
          auto &sums = lane.mass[{event->layer, slice->rows[r], slice->heads[h]}];
          for (int k = slice->key_first; k < slice->key_first + slice->n_keys; k++) {
            Part part = k < int(lane.part_of_key.size()) ? lane.part_of_key[k] : rest;
            sums[k == slice->rows[r] ? itself : part] += *pattern++;
          }
        }
    }
    return ABLATE_OK;
  });
}

ablate_status end_lane(void *self, uint32_t lane, const ablate_column *, uint64_t, uint64_t, ablate_error *) {
  return guarded([&] {
    std::array<std::vector<int64_t>, 3> keys;
    std::array<std::vector<double>, parts> sums;
    for (auto &[key, sum] : mass(self).lanes[lane].mass) {
      for (int k = 0; k < 3; k++) keys[k].push_back(key[k]);
      for (int p = 0; p < parts; p++) sums[p].push_back(sum[p]);
    }
    mass(self).lanes.erase(lane);
    constexpr uint32_t size = sizeof(ablate_column);
    std::vector<ablate_column> columns = {{size, ABLATE_T_I64, "layer", keys[0].data(), nullptr, nullptr},
                                          {size, ABLATE_T_I64, "row", keys[1].data(), nullptr, nullptr},
                                          {size, ABLATE_T_I64, "head", keys[2].data(), nullptr, nullptr}};
    static const char site[] = "text.pattern"; // the same for every row
    std::string sites;
    std::vector<int32_t> offsets = {0};
    for (size_t row = 0; row < keys[0].size(); row++) offsets.push_back(int32_t((sites += site).size()));
    columns.push_back({size, ABLATE_T_STR, "site", sites.data(), offsets.data(), nullptr});
    for (int p = 0; p < parts; p++) columns.push_back({size, ABLATE_T_F64, names[p], sums[p].data(), nullptr, nullptr});
    const ablate_host *host = mass(self).host;
    return host->emit(host->ctx, lane, "attention_mass", columns.data(), columns.size(), keys[0].size());
  });
}

constexpr ablate_param param(const char *id, const char *standard) {
  return {sizeof(ablate_param), ABLATE_T_SELECTOR, id, nullptr, nullptr, 0, 0, 0, 0, standard, nullptr, 0, 0, 0};
}
constexpr ablate_param params[] = {param("layers", "all"), param("tokens", "last")};
void destroy(void *self) { delete &mass(self); }
constexpr ablate_plugin plugin = {sizeof plugin, ABLATE_PROBE, "attention-mass", "1.0.0", 0, 0, 2, 0, params, 2, create,
                                  destroy, plan, begin_lane, on_event, end_lane, nullptr};
constexpr const ablate_plugin *plugins[] = {&plugin};
constexpr ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};

} // namespace

const ablate_library *ablate_plugin_entry_v1(uint32_t, ablate_error *) { return &library; }
