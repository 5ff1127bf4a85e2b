const frame = document.querySelector("#compare .frame");
const slider = document.getElementById("slider");
const follow = () => frame.style.setProperty("--cut", slider.value + "%");
slider.addEventListener("input", follow);
follow();
