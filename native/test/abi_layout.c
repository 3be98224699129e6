/* Prints the layout of every struct of the plugin ABI as JSON, to be compared with the host's mirror of it. */
#include <signet/plugin.h>
#include <stddef.h>
#include <stdio.h>

#define BEGIN(type) printf("  \"" #type "\": {\"size\": %zu, \"offsets\": {", sizeof(type))
#define FIRST(type, field) printf("\"" #field "\": %zu", offsetof(type, field))
#define FIELD(type, field) printf(", \"" #field "\": %zu", offsetof(type, field))
#define END(comma) printf("}}" comma "\n")

int main(void) {
  printf("{\n");
  BEGIN(signet_tensor);
  FIRST(signet_tensor, dtype);
  FIELD(signet_tensor, rank);
  FIELD(signet_tensor, shape);
  FIELD(signet_tensor, data);
  FIELD(signet_tensor, nbytes);
  FIELD(signet_tensor, name);
  FIELD(signet_tensor, owner);
  END(",");
  BEGIN(signet_file);
  FIRST(signet_file, name);
  FIELD(signet_file, data);
  FIELD(signet_file, nbytes);
  END(",");
  BEGIN(signet_control);
  FIRST(signet_control, cancel);
  FIELD(signet_control, progress_permille);
  FIELD(signet_control, stage);
  FIELD(signet_control, heartbeat);
  FIELD(signet_control, deadline_ns);
  FIELD(signet_control, reserved);
  END(",");
  BEGIN(signet_create_args);
  FIRST(signet_create_args, struct_size);
  FIELD(signet_create_args, device_type);
  FIELD(signet_create_args, device_index);
  FIELD(signet_create_args, file_count);
  FIELD(signet_create_args, config_json);
  FIELD(signet_create_args, files);
  END(",");
  BEGIN(signet_plugin);
  FIRST(signet_plugin, abi_version);
  FIELD(signet_plugin, struct_size);
  FIELD(signet_plugin, describe);
  FIELD(signet_plugin, create);
  FIELD(signet_plugin, run);
  FIELD(signet_plugin, release);
  FIELD(signet_plugin, destroy);
  FIELD(signet_plugin, warmup);
  END("");
  printf("}\n");
  return 0;
}
