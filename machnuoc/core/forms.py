"""Forms of sign-in, account and the lists of this room."""

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm


class SignIn(AuthenticationForm):
    marks_required = False
    error_messages = {
        "invalid_login": "Tên đăng nhập hoặc mật khẩu không đúng. Kiểm tra Caps Lock, bộ gõ tiếng Việt rồi thử lại.",
        "inactive": "Tài khoản này đã ngừng hoạt động. Liên hệ quản trị hệ thống của đơn vị.",
    }

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["username"].label = "Tên đăng nhập"
        self.fields["username"].widget.attrs.update({"autocapitalize": "none", "spellcheck": "false"})
        self.fields["password"].label = "Mật khẩu"


class ChangePassword(PasswordChangeForm):
    marks_required = False
    error_messages = {
        **PasswordChangeForm.error_messages,
        "password_incorrect": "Mật khẩu hiện tại không đúng. Nhập lại.",
        "password_mismatch": "Hai lần nhập mật khẩu mới không giống nhau. Nhập lại.",
    }

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["old_password"].label = "Mật khẩu hiện tại"
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields["new_password1"].label = "Mật khẩu mới"
        self.fields["new_password1"].help_text = "Ít nhất 10 ký tự, không phải mật khẩu phổ biến."
        self.fields["new_password2"].label = "Nhập lại mật khẩu mới"
        self.fields["new_password2"].help_text = ""


class NewToken(forms.Form):
    name = forms.CharField(label="Tên mã", max_length=80, help_text="Để nhận ra nơi dùng, ví dụ «Cổng dữ liệu tỉnh».")
    days = forms.TypedChoiceField(
        label="Hiệu lực",
        coerce=int,
        choices=[(30, "30 ngày"), (90, "90 ngày"), (365, "1 năm")],
        initial=90,
    )
    can_write = forms.BooleanField(label="Được ghi số liệu, không chỉ đọc", required=False)


class DocumentFilter(forms.Form):
    q = forms.CharField(
        label="Tìm",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "Số, trích yếu, cơ quan"}),
    )
    confidence = forms.ChoiceField(
        label="Mức tin cậy",
        required=False,
        choices=[("", "Tất cả"), ("verified", "Đã đối chiếu văn bản"), ("recalled", "Chưa đối chiếu văn bản")],
    )


class NoticeFilter(forms.Form):
    unread = forms.BooleanField(label="Chỉ thông báo chưa đọc", required=False)
