"""GLSL programs of the renderer."""

from __future__ import annotations

VERTEX = """#version 330
uniform mat4 p3d_ModelViewProjectionMatrix, p3d_ModelMatrix;
in vec3 p3d_Vertex, p3d_Normal;
in vec2 p3d_MultiTexCoord0;
in vec4 p3d_Color;
out vec4 place_u, normal_v;
out vec3 tint;
void main() {
    gl_Position = p3d_ModelViewProjectionMatrix * vec4(p3d_Vertex, 1.0);
    place_u = vec4((p3d_ModelMatrix * vec4(p3d_Vertex, 1.0)).xyz, p3d_MultiTexCoord0.x);
    normal_v = vec4(mat3(p3d_ModelMatrix) * p3d_Normal, p3d_MultiTexCoord0.y);
    tint = p3d_Color.rgb;
}
"""
"""Places a vertex and hands on what the fragment shaders need, tightly packed: Mesa pays for each vector of it."""

_LIT = """uniform sampler2D p3d_Texture0;
uniform sampler2DShadow shadow_map;
uniform sampler3D lamp_light, lamp_towards;
uniform mat4 shadow_matrix;
uniform vec3 eye, sun_direction, sun, sky, ground, lamp_low, lamp_size;
uniform vec4 haze;
uniform vec2 object;
uniform vec3 glow;
uniform float gloss, shadow_texel, lamps, exposure;
in vec4 place_u, normal_v;
in vec3 tint;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 number;
void main() {
    vec3 place = place_u.xyz, normal = normal_v.xyz;
    vec3 n = normalize(gl_FrontFacing ? normal : -normal);
    float lit = 0.0;
#ifdef SUN
    float facing = max(dot(n, sun_direction), 0.0);
    {
        vec3 at = (shadow_matrix * vec4(place + 0.02 * normal, 1.0)).xyz * 0.5 + 0.5 - vec3(0.0, 0.0, 0.0006);
        for (int i = 0; i < 4; i++)
            lit += texture(shadow_map, at + vec3(float(i & 1) - 0.5, float(i >> 1) - 0.5, 0.0) * 1.6 * shadow_texel);
        lit *= 0.25 * facing;
    }
#endif
    vec4 surface = texture(p3d_Texture0, vec2(place_u.w, normal_v.w));
    vec3 albedo = surface.rgb * tint;
    vec3 ambient = mix(ground, sky, n.z * 0.5 + 0.5);
#ifdef LAMPS
    {
        vec3 cell = (place - lamp_low) / lamp_size;
        vec3 towards = texture(lamp_towards, cell).rgb * 2.0 - 1.0;
        float spread = 1.0 - length(towards);
        ambient += lamps * texture(lamp_light, cell).rgb * (0.3 * spread + max(dot(n, towards), 0.0));
    }
#endif
    vec3 shade = albedo * (ambient + lit * sun);
    vec3 sight = eye - place;
    float distance = length(sight);
    sight /= distance;
#ifdef GLOSS
    {
        float rim = pow(1.0 - max(dot(n, sight), 0.0), 4.0);
        vec3 mirror = reflect(-sight, n);
        shade += gloss * (0.05 + 0.6 * rim) * mix(ground, 1.6 * sky, smoothstep(-0.1, 0.4, mirror.z));
        shade += gloss * lit * sun * pow(max(dot(mirror, sun_direction), 0.0), 40.0);
#ifdef LAMPS
        if (mirror.z > 0.0) {
            vec3 above = place + mirror * (lamp_low.z + lamp_size.z - place.z) / mirror.z;
            shade += lamps * gloss * (0.05 + 0.6 * rim) * texture(lamp_light, (above - lamp_low) / lamp_size).rgb;
        }
#endif
    }
#endif
#ifdef LAMPS
    shade += lamps * glow * surface.a * surface.rgb;
#endif
    shade = exposure * mix(haze.rgb, shade, exp(-distance * haze.a));
    shade = shade * (2.51 * shade + 0.03) / (shade * (2.43 * shade + 0.59) + 0.14);
    color = vec4(sqrt(clamp(shade, 0.0, 1.0)), 1.0);
    number = vec4(object, 0.0, 1.0);
}
"""
"""Sun with soft shadow, sky, ground, lamps and their mirror images, glow, haze, exposure; root of colour, object."""


def lit(*, sun: bool, lamps: bool, gloss: bool) -> str:
    """Program that shades a surface. Mesa on a CPU runs both sides of every branch, so what is dark is left out.

    Args:
        sun: whether the sun shines.
        lamps: whether lamps are on.
        gloss: whether the surface mirrors.
    """
    defines = ["#define SUN"] * sun + ["#define LAMPS"] * lamps + ["#define GLOSS"] * gloss
    return "\n".join(["#version 330", *defines, _LIT])


SKY = """#version 330
uniform sampler2D p3d_Texture0;
uniform vec3 eye, sun_direction, sun, zenith;
uniform vec4 haze;
uniform float clouds, exposure;
in vec4 place_u;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 number;
void main() {
    vec3 sight = normalize(place_u.xyz - eye);
    float up = max(sight.z, 0.0);
    vec3 shade = mix(haze.rgb, zenith, 1.0 - exp(-3.5 * up));
    vec2 at = sight.xy / (sight.z + 0.12);
    float cover = texture(p3d_Texture0, 0.11 * at).r * 0.65 + texture(p3d_Texture0, 0.37 * at.yx).r * 0.35;
    float white = smoothstep(0.78 - 0.62 * clouds, 1.0 - 0.35 * clouds, cover) * smoothstep(0.0, 0.12, up);
    shade = mix(shade, haze.rgb * (0.75 + 0.45 * cover), white);
    float near = max(dot(sight, sun_direction), 0.0);
    shade += sun * (1.0 - white) * (0.12 * pow(near, 24.0) + 6.0 * smoothstep(0.9994, 0.9998, near));
    shade = exposure * shade;
    shade = shade * (2.51 * shade + 0.03) / (shade * (2.43 * shade + 0.59) + 0.14);
    color = vec4(sqrt(clamp(shade, 0.0, 1.0)), 1.0);
    number = vec4(0.0);
}
"""
"""Sky from horizon to zenith with clouds and the sun."""

CONTACT = """#version 330
in vec4 place_u, normal_v;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 number;
void main() {
    vec2 at = 2.0 * vec2(place_u.w, normal_v.w) - 1.0;
    float near = max(1.0 - dot(at, at), 0.0);
    color = vec4(0.0, 0.0, 0.0, 0.42 * near * near);
    number = vec4(0.0);
}
"""
"""Dark spot under a person, where the sky is hidden from the ground."""

DEPTH_VERTEX = """#version 330
uniform mat4 p3d_ModelViewProjectionMatrix;
in vec3 p3d_Vertex;
void main() { gl_Position = p3d_ModelViewProjectionMatrix * vec4(p3d_Vertex, 1.0); }
"""
"""Places a vertex, nothing else."""

EMPTY = """#version 330
void main() {}
"""
"""Writes depth alone."""

GEOMETRY = """#version 330
uniform vec3 eye, forward;
in vec4 place_u, normal_v;
layout(location = 0) out vec4 surface;
void main() {
    surface = vec4(normalize(gl_FrontFacing ? normal_v.xyz : -normal_v.xyz), dot(place_u.xyz - eye, forward));
}
"""
"""World normal and depth along the optical axis."""

RESOLVE = """#version 330
uniform sampler2D shaded, numbers;
uniform int samples, columns;
layout(location = 0) out vec4 color;
void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    if (pixel.x >= columns) {
        color = texelFetch(numbers, ivec2(pixel.x - columns, pixel.y) * samples + samples / 2, 0);
        return;
    }
    vec3 sum = vec3(0.0);
    for (int y = 0; y < samples; y++)
        for (int x = 0; x < samples; x++) {
            vec3 root = texelFetch(shaded, pixel * samples + ivec2(x, y), 0).rgb;
            sum += root * root;
        }
    sum /= float(samples * samples);
    vec3 bright = 1.055 * pow(max(sum, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055;
    color = vec4(mix(12.92 * sum, bright, greaterThan(sum, vec3(0.0031308))), 1.0);
}
"""
"""Left half: mean of the samples of a pixel, sRGB; right half: object number of its middle sample."""
