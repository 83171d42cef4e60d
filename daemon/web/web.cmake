# The web UI: daemon/web bundled by esbuild and embedded in the program. Without Node, npm or (the
# first time) network, AUTO builds a page that says so.
find_program(NODE NAMES node nodejs)
find_program(NPM npm)
if(WOS_WEB_UI STREQUAL "AUTO")
  if(NODE AND NPM)
    set(web_mode auto)
  else()
    set(web_mode off)
    message(STATUS "Node or npm is missing: built without the web UI")
  endif()
elseif(WOS_WEB_UI)
  if(NOT NODE OR NOT NPM)
    message(FATAL_ERROR "WOS_WEB_UI=ON needs node and npm (Node 18 or later)")
  endif()
  set(web_mode on)
else()
  set(web_mode off)
endif()

set(web_dir ${CMAKE_SOURCE_DIR}/daemon/web)
set(web_out ${CMAKE_BINARY_DIR}/web)
file(GLOB web_sources CONFIGURE_DEPENDS ${web_dir}/src/*)
add_custom_command(
  OUTPUT ${web_out}/web_assets_data.c
  COMMAND ${web_dir}/build.sh ${web_mode} ${web_out}
  DEPENDS ${web_sources} ${web_dir}/build.sh ${web_dir}/build.mjs ${web_dir}/package-lock.json
          ${web_dir}/none.c.in ${web_out}/mode
  COMMENT "Bundling the web UI (${web_mode})"
  VERBATIM)
target_sources(wos_daemon PRIVATE ${web_out}/web_assets_data.c)
# Changing the mode makes it anew.
file(CONFIGURE OUTPUT ${web_out}/mode CONTENT "${web_mode}\n")
set_property(SOURCE ${web_out}/web_assets_data.c PROPERTY GENERATED TRUE)
