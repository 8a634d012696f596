/** One clip's world: a canvas, its shapes, floor, light and camera. z is up, lengths are metres. */
import * as THREE from "./vendor/three/three.module.min.js";

const FIELD_OF_VIEW_DEG = 45;
const LEAST_ASPECT = 1.25; // a narrower picture is taken from farther away, so that as much is seen
const CLOSER = 0.9; // than a video's camera: here the picture is large enough
const LIGHT = new THREE.Vector3(0.35, -0.5, 1).normalize();
const SHADOW_LIFT = 0.002;

const floorVertex = `
  varying vec2 place;
  void main() {
    vec4 world = modelMatrix * vec4(position, 1.0);
    place = world.xy;
    gl_Position = projectionMatrix * viewMatrix * world;
  }`;
const floorFragment = `
  varying vec2 place;
  uniform vec3 dark; uniform vec3 bright; uniform vec3 line;
  uniform vec2 middle; uniform float cell; uniform float reach; uniform float start; uniform float marked;
  void main() {
    vec2 at = place / cell;
    vec2 blur = max(fwidth(at), 1e-4);
    vec2 edge = abs(fract(at * 0.5) - 0.5) * 2.0;           // 0.5 on the borders of a cell
    vec2 side = clamp((edge - 0.5) / blur + 0.5, 0.0, 1.0);
    float checker = mix(side.x, 1.0 - side.x, side.y);
    float busy = clamp(1.5 - max(blur.x, blur.y) * 1.5, 0.0, 1.0); // far away the cells melt into one tone
    vec3 colour = mix(dark, bright, mix(0.5, checker, busy));
    float width = 0.04 * cell;
    float soft = fwidth(place.x);
    float onLine = marked * (1.0 - smoothstep(width, width + soft, abs(place.x - start)));
    colour = mix(colour, line, onLine * 0.7);
    float fade = 1.0 - smoothstep(0.45 * reach, reach, distance(place, middle));
    gl_FragColor = vec4(colour, fade);
    #include <colorspace_fragment>
  }`;

// Each takes its size, and how fine round things are: 2 where a graphics card draws, else 1.
const builders = {
  sphere: ([radius], fine) => new THREE.SphereGeometry(radius, 16 * fine, 10 * fine),
  capsule: ([radius, half], fine) =>
    new THREE.CapsuleGeometry(radius, 2 * half, 6 * fine, 14 * fine).rotateX(Math.PI / 2),
  cylinder: ([radius, half], fine) =>
    new THREE.CylinderGeometry(radius, radius, 2 * half, 16 * fine).rotateX(Math.PI / 2),
  ellipsoid: ([a, b, c], fine) => new THREE.SphereGeometry(1, 16 * fine, 10 * fine).scale(a, b, c),
  box: ([a, b, c]) => new THREE.BoxGeometry(2 * a, 2 * b, 2 * c),
};

const PROCESSOR = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Whether a graphics card draws. A processor that has to draw has no time for smooth edges and for many
 * triangles. */
export function hasGraphicsCard() {
  const context = document.createElement("canvas").getContext("webgl2");
  const names = context?.getExtension("WEBGL_debug_renderer_info");
  const name = names ? context.getParameter(names.UNMASKED_RENDERER_WEBGL) : "";
  context?.getExtension("WEBGL_lose_context")?.loseContext(); // a page may hold few of them
  return !PROCESSOR.test(name);
}

export class World {
  #canvas;
  #renderer;
  #scene = new THREE.Scene();
  #camera = new THREE.PerspectiveCamera(FIELD_OF_VIEW_DEG, 1, 0.02, 200);
  #view;
  #shapes = []; // {index, mesh, shadow}
  #floor = null;
  #floorIndex = -1;
  #floorHeight = 0;
  #flatten = new THREE.Matrix4();
  #clip = null;
  #from = new THREE.Quaternion();
  #to = new THREE.Quaternion();
  #focus = new THREE.Vector3();

  /** isSmooth: edges without steps, and round things of four times as many triangles. Raises an error where the browser
   * has no WebGL. */
  constructor(canvas, description, colors, isSmooth) {
    this.#canvas = canvas;
    this.#view = description.camera;
    this.#renderer = new THREE.WebGLRenderer({ canvas, antialias: isSmooth, alpha: true, stencil: true });
    this.#renderer.setClearColor(0x000000, 0);
    this.#camera.up.set(0, 0, 1);
    this.#build(description, isSmooth ? 2 : 1);
    this.recolor(colors);
  }

  #build({ geoms, camera }, fine) {
    const sun = new THREE.DirectionalLight(0xffffff, 2.1);
    sun.position.copy(LIGHT);
    this.#scene.add(sun, new THREE.HemisphereLight(0xffffff, 0x8d8478, 1.7));
    const shade = new THREE.MeshBasicMaterial({
      color: 0x000000, transparent: true, opacity: 0.2, depthWrite: false, side: THREE.DoubleSide,
      stencilWrite: true, stencilRef: 1, stencilFunc: THREE.NotEqualStencilFunc, stencilZPass: THREE.ReplaceStencilOp,
    }); // the stencil keeps shadows that overlap from adding up
    geoms.forEach((geom, index) => {
      if (geom.shape === "plane") {
        this.#floorIndex = index;
        return;
      }
      const geometry = builders[geom.shape](geom.size, fine);
      const [red, green, blue, alpha] = geom.rgba;
      const material = new THREE.MeshStandardMaterial({ roughness: 0.55, transparent: alpha < 1, opacity: alpha });
      material.color.setRGB(red, green, blue, THREE.SRGBColorSpace);
      const mesh = new THREE.Mesh(geometry, material);
      const shadow = new THREE.Mesh(geometry, shade);
      shadow.matrixAutoUpdate = false;
      shadow.frustumCulled = false;
      shadow.renderOrder = 2;
      this.#shapes.push({ index, mesh, shadow });
      this.#scene.add(mesh);
    });
    if (this.#floorIndex < 0) return;
    for (const { shadow } of this.#shapes) this.#scene.add(shadow);
    const uniforms = {
      dark: { value: new THREE.Color() }, bright: { value: new THREE.Color() }, line: { value: new THREE.Color() },
      middle: { value: new THREE.Vector2() }, cell: { value: camera.distance > 2 ? 0.5 : 0.1 },
      reach: { value: camera.distance * 4 }, start: { value: 0 }, marked: { value: camera.follow ? 1 : 0 },
    };
    const material = new THREE.ShaderMaterial({
      uniforms, vertexShader: floorVertex, fragmentShader: floorFragment, transparent: true, depthWrite: false,
    });
    this.#floor = new THREE.Mesh(new THREE.PlaneGeometry(camera.distance * 10, camera.distance * 10), material);
    this.#floor.renderOrder = 1;
    this.#scene.add(this.#floor);
  }

  /** colors: CSS colours of the floor's cells and of the line where the clip began. */
  recolor({ dark, bright, line }) {
    if (!this.#floor) return;
    const { uniforms } = this.#floor.material;
    uniforms.dark.value.setStyle(dark);
    uniforms.bright.value.setStyle(bright);
    uniforms.line.value.setStyle(line);
  }

  load(clip) {
    this.#clip = clip;
    if (!this.#floor) return;
    this.#floorHeight = clip.positions[this.#floorIndex * 3 + 2];
    this.#floor.material.uniforms.start.value = clip.focus[0];
    const height = this.#floorHeight + SHADOW_LIFT;
    const [x, y] = [LIGHT.x / LIGHT.z, LIGHT.y / LIGHT.z];
    this.#flatten.set(1, 0, -x, height * x, 0, 1, -y, height * y, 0, 0, 0, height, 0, 0, 0, 1);
  }

  /** Fit the drawing to its place on the page. */
  resize(pixelRatio) {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !clientHeight) return;
    this.#renderer.setPixelRatio(pixelRatio);
    this.#renderer.setSize(clientWidth, clientHeight, false);
  }

  /** One frame over the whole canvas. orbit: {turn, tilt} in degrees beside the camera's own angles. */
  draw(frame, orbit) {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#renderer.setScissorTest(false);
    this.#renderer.setViewport(0, 0, clientWidth, clientHeight);
    this.#pose(frame, orbit, clientWidth / clientHeight);
    this.#renderer.render(this.#scene, this.#camera);
  }

  /** Several frames side by side, in reading order, `columns` in a row. */
  drawStrip(frames, columns, orbit) {
    const rows = Math.ceil(frames.length / columns);
    const width = this.#canvas.clientWidth / columns;
    const height = this.#canvas.clientHeight / rows;
    this.#renderer.setScissorTest(false);
    this.#renderer.clear();
    this.#renderer.setScissorTest(true);
    frames.forEach((frame, index) => {
      const x = (index % columns) * width;
      const y = (rows - 1 - Math.floor(index / columns)) * height;
      this.#renderer.setViewport(x, y, width, height);
      this.#renderer.setScissor(x, y, width, height);
      this.#pose(frame, orbit, width / height);
      this.#renderer.render(this.#scene, this.#camera);
    });
  }

  /** Everything where it is at `frame`, between two steps where it is not whole. */
  #pose(frame, orbit, aspect) {
    const { steps, positions, rotations, focus } = this.#clip;
    const first = Math.min(steps - 1, Math.floor(frame));
    const second = Math.min(steps - 1, first + 1);
    const part = frame - first;
    const numGeoms = positions.length / steps / 3;
    for (const { index, mesh, shadow } of this.#shapes) {
      const a = (first * numGeoms + index) * 3;
      const b = (second * numGeoms + index) * 3;
      for (const axis of [0, 1, 2]) {
        const value = positions[a + axis] + (positions[b + axis] - positions[a + axis]) * part;
        mesh.position.setComponent(axis, value);
      }
      readQuaternion(this.#from, rotations, (first * numGeoms + index) * 4);
      readQuaternion(this.#to, rotations, (second * numGeoms + index) * 4);
      mesh.quaternion.slerpQuaternions(this.#from, this.#to, part);
      mesh.updateMatrix();
      if (this.#floor) {
        shadow.matrix.multiplyMatrices(this.#flatten, mesh.matrix);
        shadow.matrixWorldNeedsUpdate = true;
      }
    }
    for (const axis of [0, 1, 2]) {
      const from = focus[first * 3 + axis];
      this.#focus.setComponent(axis, from + (focus[second * 3 + axis] - from) * part);
    }
    this.#look(orbit, aspect);
    if (!this.#floor) return;
    this.#floor.position.set(this.#focus.x, this.#focus.y, this.#floorHeight);
    this.#floor.material.uniforms.middle.value.set(this.#focus.x, this.#focus.y);
  }

  #look({ turn, tilt }, aspect) {
    const azimuth = THREE.MathUtils.degToRad(this.#view.azimuth_deg + turn);
    const elevation = THREE.MathUtils.degToRad(Math.max(-89.9, Math.min(-2, this.#view.elevation_deg + tilt)));
    const nearness = this.#view.follow ? CLOSER : 1;
    const distance = this.#view.distance * nearness * Math.max(1, LEAST_ASPECT / aspect);
    this.#camera.position.set(
      this.#focus.x - distance * Math.cos(elevation) * Math.cos(azimuth),
      this.#focus.y - distance * Math.cos(elevation) * Math.sin(azimuth),
      this.#focus.z - distance * Math.sin(elevation),
    );
    this.#camera.aspect = aspect;
    this.#camera.updateProjectionMatrix();
    this.#camera.lookAt(this.#focus);
  }
}

function readQuaternion(target, floats, at) {
  target.set(floats[at + 1], floats[at + 2], floats[at + 3], floats[at]).normalize();
}
